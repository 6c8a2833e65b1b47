"""Tables from CSV and Parquet files: fast where they are regular, and every mistake located."""
