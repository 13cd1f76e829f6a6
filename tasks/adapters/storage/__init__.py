"""Files, tables and objects: the local disk and S3."""
