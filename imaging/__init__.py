"""The pure analysis core: volumes, labels, models and checks, without Django, settings or a database.

Every index is (slice, row, column), 0-based, at voxel centres. Every place is DICOM LPS in millimetres.
"""
