"""How long a whole scan takes from stored DICOM to candidates, beside the reference network for the task."""
