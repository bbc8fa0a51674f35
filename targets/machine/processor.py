"""Name of a processor, as its machine describes it."""

from __future__ import annotations

# By flag in /proc/cpuinfo, the first that a processor has: int8 above all runs at another speed with each.
X86 = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx2": "AVX2",
}
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}
ARM = {"i8mm": "i8mm", "sve": "SVE", "asimddp": "dot product"}


def overflows_int8(cpuinfo: str) -> bool:
    """Whether int8 kernels for a processor overflow with weights of 8 bits: those for x86 without VNNI.

    Args:
        cpuinfo: content of /proc/cpuinfo.
    """
    flags = next((line.split(":", 1)[1].split() for line in cpuinfo.splitlines() if line.startswith("flags")), None)
    return flags is not None and not VNNI & {*flags}


def processor_name(cpuinfo: str) -> str | None:
    """Name of the first processor, with the widest of its vector instructions; None if the text tells no name.

    Virtual machines call different processors by one name, such as `AMD EPYC`, and may hide instructions: a name alone
    does not say whose times compare. Linux names no ARM processor; numbers of its maker and part stand for the name.

    Args:
        cpuinfo: content of /proc/cpuinfo.
    """
    told: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        told.setdefault(key.strip(), " ".join(value.split()))
    name = told.get("model name") or told.get("Model")
    if not name and "CPU part" in told:
        name = f"ARM processor {told.get('CPU implementer', '?')} {told['CPU part']}"
    if not name:
        return None
    flags, known = (told["flags"], X86) if "flags" in told else (told.get("Features", ""), ARM)
    widest = next((word for flag, word in known.items() if flag in flags.split()), None)
    return f"{name} with {widest}" if widest else name
