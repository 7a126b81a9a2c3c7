"""Programs that travel in the evidence kit. Nothing here is imported by the service: their text is what is shipped."""
