-- Takes the record of accepted pasts away; the ledger itself stays.
DROP FUNCTION billing.grant_recovery_to, billing.end_recovery, billing.enter_recovery, billing.past_now, billing.place_now;
DROP TABLE billing.recovery;
