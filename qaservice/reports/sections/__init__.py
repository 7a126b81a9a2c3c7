"""The sections of the validation report: each turns evidence into document classes, in words and figures."""
