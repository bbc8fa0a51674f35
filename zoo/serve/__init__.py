"""`zoo serve`: embeddings over HTTP, by aiohttp.

    limits       what a request, a client and the server as a whole may take
    refusal      an answer that says what is wrong, why, and what to do next
    rates        requests per second of each client
    bodies       reads a request into images, within the limits
    pictures     decodes one image, within the limits
    batching     embeds images of several requests at once
    answers      embeddings as JSON or as float32 bytes
    openapi      the description of the interface
    metrics      Prometheus metrics
    connections  how many there may be, and which gives way
    access       one line of JSON for each request
    draining     requests in progress, which are answered before the server ends
    app          routes and what they do
    run          listens, serves, and ends on SIGTERM

docs/serve.md is for its users.
"""
