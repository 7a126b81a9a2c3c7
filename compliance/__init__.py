"""The record: who changed what, when and why, sealed so that an outsider can prove that nothing was altered."""
