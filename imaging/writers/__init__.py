"""Label sets out to the formats that others read; nothing is released that does not read back as it was meant."""
