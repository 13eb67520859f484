"""Files of records: JSON lines, CSV, Parquet, ORC, Arrow, Avro, WARC, and arrays in npy, HDF5, NetCDF and Zarr files.

``pieces`` says what a record format is; each format is one module. Nothing here imports a format's library before a file
of that format is met.
"""
