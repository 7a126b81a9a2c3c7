"""A small app with all three classes of table, so that the record's tests need nothing of the service."""
