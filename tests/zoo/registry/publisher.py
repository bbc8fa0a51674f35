"""A process that publishes: URL NAME FIRST COUNT [CONTENT]. Releases NAME@1.FIRST.0 and so on, with different content.

Prints the number of each that is published, and `refused` for one of which other content was there.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.progress import Silent
from tests.zoo.registry.samples import files_of, put_release
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish

if __name__ == "__main__":
    url, name, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    content = sys.argv[5] if len(sys.argv) > 5 else ""
    place = open_place(url)
    with TemporaryDirectory() as root:
        for number in range(first, first + count):
            files = files_of(f"{name} {number} {content}".encode())
            release = put_release(Home(Path(root)), name, f"1.{number}.0", files)
            try:
                publish(release, place, None, Silent())
            except RegistryError as error:
                if not content or "with other content" not in str(error):
                    raise
                print("refused", flush=True)
            else:
                print(number, flush=True)
