"""A release, used on this machine.

    runnable  which of its artifacts could run here, the best first
    starting  from one of them to a session: files checked, compiled if it is the graph, golden input embedded
    golden    whether it computes here what it did where it was made
    embedder  `zoo.load(name).embed(images)`
    gallery   embeddings of a folder, kept and searched
    unchanged whether its images are still those that were embedded
    query     the images that are nearest to one
    sheet     how they are drawn, to be looked at

Nothing here imports torch.
"""
