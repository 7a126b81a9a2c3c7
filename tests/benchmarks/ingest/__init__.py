"""How fast a delivery becomes durable, beside Orthanc on the same machine in the same run."""
