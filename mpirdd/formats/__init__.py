"""The contents of files: text, binary records, SequenceFiles, pickle files; and output that appears
whole or not at all."""
