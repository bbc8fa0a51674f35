"""ONNX Runtime Web in a headless browser: WebAssembly on the CPU.

    target    the methods of `targets.contract.Target`
    page      one browser with one page, which runs any number of networks
    server    what the page talks to, on the loopback interface
    chromium  finding, starting and ending the browser
    files     what is in static/: the page's files, and ONNX Runtime Web (ort/)

There is no driver between Python and the browser: the page asks a server in this process for its next task. That needs
nothing but the browser, so bundles carry it to boards as they are; Playwright would bring 40 MB and a Node.js for the
one thing wanted, opening a page. Arrays travel as bytes, never as text.
"""
