-- Three roles, for an empty database `loa`; run as its superuser (docs/how-to/database-roles.md).
-- loa_owner owns everything and may not log in. loa_migrator logs in to migrate and takes loa_owner on; by itself it may do nothing.
-- loa_app is what the service connects as: migrations grant it what it may do.
CREATE ROLE loa_owner NOLOGIN;
CREATE ROLE loa_migrator LOGIN NOINHERIT PASSWORD 'only-for-this-machine';
GRANT loa_owner TO loa_migrator;
CREATE ROLE loa_app LOGIN PASSWORD 'only-for-this-machine';
ALTER DATABASE loa OWNER TO loa_owner;
REVOKE ALL ON DATABASE loa FROM PUBLIC;
GRANT CONNECT ON DATABASE loa TO loa_migrator, loa_app;
