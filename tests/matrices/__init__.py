"""The record's promises over every table of the real service, found by introspection: new tables are in at once."""
