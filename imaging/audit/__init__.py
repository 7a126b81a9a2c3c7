"""An audit of label files against CT, from files to one page, without any database."""
