"""Measurement of a release on this machine.

    measurable  which artifacts can be measured
    measuring   times of artifacts in turn, and their accuracy if the test set is here
    repeat      whether published figures can be reproduced

The protocol is that of its recipe, as in a build.
"""
