-- Takes the whole ledger away. Only for a database that never held money: there is no way back from here.
DROP SCHEMA billing CASCADE;
