"""What the record costs on PostgreSQL with every commit synced: appending, overhead, verification, proofs."""
