"""How an output folder appears, whole or not at all, on each kind of file system.

    local       parts in a temporary folder inside the folder, each renamed
    renamed     all in a temporary folder beside it, which takes its name in one step (HDFS)
    uploaded    multi-part uploads that the driver completes (S3)
    copied      temporary names, which the server copies (all others)

``outputs`` chooses among them and is what everybody else uses.
"""
