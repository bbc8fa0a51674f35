"""Use of a release on this machine.

    runnable  which artifacts could run here, best first
    starting  from an artifact to a session: files verified, graph compiled, golden input embedded
    golden    whether an artifact reproduces the golden embedding here
    embedder  `zoo.load(name).embed(images)`
    gallery   embeddings of a folder, kept and searched
    origin    which model embedded what, as a gallery and an index both say
    index     an index of a very large gallery; index_build makes it, index_file is its file, inverted searches
    unchanged whether its images are unchanged since they were embedded
    query     the images nearest to a query
    sheet     contact sheets of query results

Nothing here imports torch.
"""
