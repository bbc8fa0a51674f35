"""`zoo site`: a static site of releases and their measurements.

    source    releases with what a registry says of them, from a registry or from this machine
    names     file names of pages
    data      one typed document of everything that pages compare (data.json)
    meanings  what columns mean, in a line
    cells     rows of tables as HTML cells, with the texts of `zoo.tables`
    facts     what the page of a release shows
    overview  what the pages of devices and data sets show, and the lists
    samples   drawn pictures, and what a release finds among them
    trial     files and settings of the panel that runs a student in the browser
    pages     HTML from templates/
    build     writes the folder
    vendor    fetches the libraries of the pages anew

What may be compared with what, and how a figure is written, is decided by `zoo.tables` alone. static/ holds the style
sheet and the scripts; static/vendor the libraries, as published on npm; static/try the panel of `trial`.
"""
