"""Use of a release on this machine.

    runnable  which artifacts could run here, best first
    starting  from an artifact to a session: files verified, graph compiled, golden input embedded
    golden    whether an artifact reproduces the golden embedding here
    embedder  `zoo.load(name).embed(images)`
    gallery   embeddings of a folder, kept and searched
    unchanged whether its images are unchanged since they were embedded
    query     the images nearest to a query
    sheet     contact sheets of query results

Nothing here imports torch.
"""
