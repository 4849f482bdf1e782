"""Products made to harm (rows R6, R7, R9 of the fault matrix): refused, at once, touching nothing else."""

from __future__ import annotations

import hashlib
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from groundshift.errors import ProductError
from groundshift.io.safe import open_safe

PRODUCT = "S2A_MSIL2A_20210315T000241_N0510_R030_T56HKH_20210315T022345.SAFE"


def tree_hash(folder: Path) -> str:
    """Names and bytes of everything below a folder."""
    parts = [
        (str(path.relative_to(folder)), path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")
    ]
    return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()


def archive_with(path: Path, *members: zipfile.ZipInfo | str, data: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{PRODUCT}/MTD_MSIL2A.xml", "<a/>")
        for member in members:
            archive.writestr(member, data)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{PRODUCT}/../../evil", "leads out"),
        ("../evil", "leads out"),
        ("/etc/evil", "leads out"),
        ("C:/evil", "leads out"),
        ("C:\\evil", "leads out"),
        ("..\\evil", "leads out"),
        ("\\\\server\\evil", "leads out"),
        (f"{PRODUCT}/inner.zip", "archive in the archive"),
        (f"{PRODUCT}/inner.tar.gz", "archive in the archive"),
        (f"{PRODUCT}/mtd_msil2a.xml", "twice"),
        (f"{PRODUCT}/a\nb", "control characters"),
    ],
)
def test_a_zip_with_an_unsafe_name_is_refused_and_nothing_is_written(tmp_path: Path, name: str, words: str) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    product = archive_with(inside / "product.zip", info)
    before = tree_hash(tmp_path)
    with pytest.raises(ProductError, match=f"{words}.*refused as unsafe") as caught:
        open_safe(product)
    assert caught.value.exit_code == 65
    assert tree_hash(tmp_path) == before


def test_a_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    product = archive_with(tmp_path / "product.zip", "evil#.xml")
    product.write_bytes(product.read_bytes().replace(b"evil#.xml", b"evil\0.xml"))
    with pytest.raises(ProductError, match="control characters"):
        open_safe(product)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    product = archive_with(tmp_path / "product.zip", f"{PRODUCT}/aa", f"{PRODUCT}/ab")
    product.write_bytes(product.read_bytes().replace(b"/ab", b"/aa"))
    with pytest.raises(ProductError, match="twice"):
        open_safe(product)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    product = archive_with(tmp_path / "product.zip", link(f"{PRODUCT}/link"), data=b"/etc/passwd")
    with pytest.raises(ProductError, match="symbolic link"):
        open_safe(product)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    product = archive_with(tmp_path / "product.zip", f"{PRODUCT}/secret")
    data = bytearray(product.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1
    product.write_bytes(bytes(data))
    with pytest.raises(ProductError, match="encrypted"):
        open_safe(product)


def test_another_compression_is_refused(tmp_path: Path) -> None:
    product = tmp_path / "product.zip"
    with zipfile.ZipFile(product, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(f"{PRODUCT}/MTD_MSIL2A.xml", "<a/>")
    with pytest.raises(ProductError, match="method 14"):
        open_safe(product)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    product = archive_with(tmp_path / "product.zip", f"{PRODUCT}/one", f"{PRODUCT}/two")
    data = bytearray(product.read_bytes())
    first, second = (data.index(b"PK\x01\x02", at) for at in (0, data.rindex(b"PK\x01\x02")))
    struct.pack_into("<I", data, second + 42, struct.unpack_from("<I", data, first + 42)[0] + 4)
    product.write_bytes(bytes(data))
    with pytest.raises(ProductError, match="overlaps"):
        open_safe(product)


# --- R7: bombs, in a process of their own that counts its time and memory -------------------------------------------

MEASURE = """
import resource, sys, time
from pathlib import Path
from groundshift.errors import ProductError
from groundshift.io.safe import open_safe
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
try:
    open_safe(Path(sys.argv[1]))
except ProductError as error:
    print(error)
else:
    sys.exit("not refused")
print(time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def refused(product: Path) -> tuple[str, float, float]:
    """Message, seconds and additional MB of refusing a product."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE, str(product)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    message, figures = done.stdout.strip().splitlines()
    seconds, megabytes = map(float, figures.split())
    return message, seconds, megabytes


def ratio_bomb(path: Path) -> Path:
    """500 MB of zeros in half a MB."""
    info = zipfile.ZipInfo(f"{PRODUCT}/GRANULE/x/IMG_DATA/R10m/T56HKH_20210315T000241_B02_10m.jp2")
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{PRODUCT}/MTD_MSIL2A.xml", "<a/>")
        with archive.open(info, "w") as stream:
            for _ in range(500):
                stream.write(b"\0" * 2**20)
    return path


def member_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{PRODUCT}/{number}", b"")
    return path


def directory_bomb(path: Path) -> Path:
    """An end record that claims few members and a huge table of contents."""
    directory = b"PK\x01\x02" + b"\0" * (200 * 2**20)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 10, 10, len(directory), 0, 0)
    path.write_bytes(directory + end)
    return path


def total_bomb(path: Path) -> Path:
    """Members that claim 3 GB each, at an innocent ratio by their compressed size's word."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{PRODUCT}/{number}", b"\0" * 100)
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        struct.pack_into("<II", data, at + 20, 40 * 2**20, 3 * 2**30)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("make", [ratio_bomb, member_bomb, directory_bomb, total_bomb])
def test_a_zip_bomb_is_refused_within_a_second_and_200_mb(tmp_path: Path, make: object) -> None:
    message, seconds, megabytes = refused(make(tmp_path / "bomb.zip"))  # type: ignore[operator]
    assert "refused as unsafe" in message
    assert seconds < 1
    assert megabytes < 200


# --- R9: XML ---------------------------------------------------------------------------------------------------------

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{i} "{("&a" + (str(i - 1) if i else "") + ";") * 10}">' for i in range(9))
    + "]><l>&a8;</l>"
)
EXTERNAL = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "file://{secret}">]><l>&x;</l>'
REMOTE = '<?xml version="1.0"?><!DOCTYPE l SYSTEM "http://127.0.0.1:9/evil.dtd"><l/>'

AUDIT = """
import sys
from pathlib import Path
from groundshift.errors import ProductError
from groundshift.io.safe import open_safe
seen = []
def hook(event, arguments):
    if event == "open" or event.startswith(("socket.", "subprocess.", "urllib.")):
        seen.append(f"{event} {arguments[0]}")
folder = Path(sys.argv[1])
sys.addaudithook(hook)
try:
    open_safe(folder)
except ProductError as error:
    print(error)
else:
    sys.exit("not refused")
assert any("manifest.safe" in each or "MTD_" in each for each in seen), "the hook heard nothing"
print([each for each in seen if str(folder) not in each and ".py" not in each and "/lib/python" not in each])
"""


@pytest.mark.parametrize("kind", ["laughs", "external", "remote"])
@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "manifest.safe", "MTD_TL.xml"])
def test_xml_with_entities_is_refused_without_touching_file_or_network(safe_copy: Path, kind: str, name: str) -> None:
    secret = safe_copy.parent / "secret.txt"
    secret.write_text("do not read")
    text = {"laughs": LAUGHS, "external": EXTERNAL.replace("{secret}", str(secret)), "remote": REMOTE}[kind]
    next(safe_copy.rglob(name)).write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AUDIT, str(safe_copy)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    message, elsewhere = done.stdout.strip().splitlines()
    assert name in message
    assert "refused as unsafe" in message
    assert elsewhere == "[]"


def test_metadata_of_200_mb_are_refused_unread(safe_copy: Path) -> None:
    with (safe_copy / "MTD_MSIL2A.xml").open("r+b") as stream:
        stream.truncate(200 * 2**20)
    message, seconds, megabytes = refused(safe_copy)
    assert "200 MB of metadata are refused" in message
    assert seconds < 1
    assert megabytes < 100


def test_metadata_that_unpack_to_more_than_they_say_are_refused(tmp_path: Path) -> None:
    body = b"<a>" + b" " * 1000 + b"</a>"
    product = tmp_path / "product.zip"
    with zipfile.ZipFile(product, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{PRODUCT}/MTD_MSIL2A.xml", body)
    data = product.read_bytes()
    product.write_bytes(data.replace(struct.pack("<I", len(body)), struct.pack("<I", 100)))
    with pytest.raises(ProductError):
        open_safe(product)
    assert zlib.crc32(body) != zlib.crc32(body[:100])


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"<open>", b"\xff\xfe\x00", b"<a>\xff</a>", b'<?xml version="1.0" encoding="nonsense"?><a/>'],
)
def test_metadata_that_are_no_xml_say_so(safe_copy: Path, content: bytes) -> None:
    (safe_copy / "MTD_MSIL2A.xml").write_bytes(content)
    with pytest.raises(ProductError, match=r"MTD_MSIL2A\.xml"):
        open_safe(safe_copy)


def test_a_foreign_coordinate_system_in_the_metadata_is_refused(safe_copy: Path) -> None:
    path = next(safe_copy.rglob("MTD_TL.xml"))
    text = path.read_text()
    path.write_text(text.replace("EPSG:32756", "/vsicurl/http://127.0.0.1:9/crs"))
    assert path.read_text() != text
    with pytest.raises(ProductError, match="coordinate system"):
        open_safe(safe_copy)


def test_a_virtual_raster_in_place_of_a_band_is_not_opened(safe_copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"do not read " * 100)
    vrt = (
        '<VRTDataset rasterXSize="10" rasterYSize="10"><VRTRasterBand dataType="Byte" band="1" '
        f'subClass="VRTRawRasterBand"><SourceFilename relativetoVRT="0">{secret}</SourceFilename>'
        "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>10</LineOffset></VRTRasterBand></VRTDataset>"
    )
    next(safe_copy.glob("GRANULE/*/IMG_DATA/R10m/*_B02_10m.jp2")).write_text(vrt)
    (safe_copy / "manifest.safe").unlink()
    reader = open_safe(safe_copy)
    with pytest.raises(ProductError, match="XML document"):
        reader.read(["B02"], reader.scene.bands["B02"].geobox)
