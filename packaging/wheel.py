"""Makes a wheel of the Python package (PEP 427): its module, and the program that it runs. The same files give the same bytes.

    python3 packaging/wheel.py PROGRAM MACHINE VERSION FOLDER
"""

import base64
import hashlib
import sys
import tomllib
import zipfile
from pathlib import Path

program, machine, version, folder = sys.argv[1:]
source = Path(__file__).resolve().parent.parent / "python"
project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
name = f"{project['name']}-{version}"
# A static program wants no libc, so neither glibc's nor musl's age matters.
platforms = ["manylinux_2_17", "manylinux2014", "musllinux_1_1"]
tags = [f"py3-none-{platform}_{machine}" for platform in platforms]
file = f"{name}-py3-none-{'.'.join(f'{platform}_{machine}' for platform in platforms)}.whl"

metadata = [
    "Metadata-Version: 2.1",
    f"Name: {project['name']}",
    f"Version: {version}",
    f"Summary: {project['description']}",
    f"License: {project['license']['text']}",
    f"Requires-Python: {project['requires-python']}",
    *(f"Classifier: {classifier}" for classifier in project["classifiers"]),
    *(f"Requires-Dist: {needed}" for needed in project["dependencies"]),
]
for extra, wanted in project["optional-dependencies"].items():
    metadata += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {needed} ; extra == "{extra}"' for needed in wanted)]
metadata += ["Description-Content-Type: text/markdown", "", (source / project["readme"]).read_text()]
wheel = ["Wheel-Version: 1.0", "Generator: nsscope", "Root-Is-Purelib: false", *(f"Tag: {tag}" for tag in tags)]

files = {f"nsscope/{path.name}": (path.read_bytes(), 0o644) for path in sorted(source.glob("nsscope/*")) if path.is_file()}
files[f"{name}.data/scripts/nsscope"] = (Path(program).read_bytes(), 0o755)
files[f"{name}.dist-info/METADATA"] = ("\n".join(metadata).encode(), 0o644)
files[f"{name}.dist-info/WHEEL"] = ("\n".join(wheel).encode() + b"\n", 0o644)


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


record = [f"{path},sha256={digest(data)},{len(data)}" for path, (data, _) in files.items()]
record.append(f"{name}.dist-info/RECORD,,")
files[f"{name}.dist-info/RECORD"] = ("\n".join(record).encode() + b"\n", 0o644)

with zipfile.ZipFile(Path(folder) / file, "w", zipfile.ZIP_DEFLATED) as archive:
    for path, (data, mode) in files.items():
        entry = zipfile.ZipInfo(path)
        entry.external_attr = (0o100000 | mode) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, data)
