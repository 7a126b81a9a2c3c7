-- Two roles: one owns the tables and migrates, the other runs the service and cannot touch the trail.
-- Run once, as a PostgreSQL superuser:
--   psql -v owner_password="'...'" -v run_password="'...'" -f roles.sql
CREATE ROLE qaservice_owner LOGIN PASSWORD :owner_password NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE ROLE qaservice_run LOGIN PASSWORD :run_password NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE DATABASE qaservice OWNER qaservice_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE qaservice FROM PUBLIC;
GRANT CONNECT ON DATABASE qaservice TO qaservice_run;
\connect qaservice
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO qaservice_owner;
GRANT USAGE ON SCHEMA public TO qaservice_run;
