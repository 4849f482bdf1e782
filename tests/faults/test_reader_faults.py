"""Damaged products (rows R1 to R5, R8, R10, R12, R13 of the fault matrix): told by name, never zeros."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundshift.errors import MissingInputError, ProductError
from groundshift.io.safe import SafeReader, open_safe
from groundshift.model.grid import blocks, crop
from groundshift.model.scene import OpenOptions

UNVERIFIED = OpenOptions(verify=False)


def band_file(product: Path, band: str = "B02") -> Path:
    return next(product.glob(f"GRANULE/*/IMG_DATA/**/*_{band}_*.jp2"))


def read_all(reader: SafeReader, band: str = "B02") -> Any:
    return reader.read([band], reader.scene.bands[band].geobox)


def zipped(product: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    target = product.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in sorted(product.rglob("*")):
            if path.is_file():
                archive.write(path, f"{product.name}/{path.relative_to(product).as_posix()}")
    return target


def edit(product: Path, pattern: str, replacement: str, name: str = "MTD_MSIL2A.xml") -> None:
    path = next(product.rglob(name))
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.DOTALL)
    assert count
    path.write_text(text)


def cut(amount: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: -int(amount if amount >= 1 else amount * len(data))]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(cut(1), "bytes where the manifest says", id="R1 one byte short"),
        pytest.param(cut(100), "bytes where the manifest says", id="R1 100 bytes short"),
        pytest.param(cut(0.4), "bytes where the manifest says", id="R1 40 percent short"),
        pytest.param(flip, "SHA3-256", id="R2 one bit flipped"),
        pytest.param(lambda _: b"", "empty", id="R4 zero bytes"),
        pytest.param(lambda _: b"<!DOCTYPE html><html>Sorry</html>", "an HTML page", id="R4 HTML page"),
        pytest.param(lambda _: b'{"error": 503}', "a JSON document", id="R4 JSON error"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_band_is_refused_by_its_checksum_before_decoding(
    safe_copy: Path, damage: Callable[[bytes], bytes], words: str, packed: bool
) -> None:
    file = band_file(safe_copy)
    file.write_bytes(damage(file.read_bytes()))
    product = zipped(safe_copy) if packed else safe_copy
    for use in (lambda r: r.verify(r.files(["B02"])[0]), read_all):
        with pytest.raises(ProductError, match=f"{file.name}.*{words}.*download again") as caught:
            use(open_safe(product))
        assert caught.value.exit_code == 65
        assert not isinstance(caught.value, MissingInputError)
    assert read_all(open_safe(product), "B05").valid.any()


@pytest.mark.parametrize("amount", [1, 2, 100, 1000, 0.1, 0.4, 0.9], ids=str)
def test_a_truncated_band_without_manifest_raises_in_every_window(safe_copy: Path, amount: float) -> None:
    file = band_file(safe_copy)
    file.write_bytes(cut(amount)(file.read_bytes()))
    next(safe_copy.glob("manifest.safe")).unlink()
    reader = open_safe(safe_copy)
    assert "Unverified" in {warning.name for warning in reader.scene.warnings}
    geobox = reader.scene.bands["B02"].geobox
    for window in blocks(geobox.shape, 500, 500):
        with pytest.raises(ProductError, match=f"{file.name}.*truncated"):
            reader.read(["B02"], crop(geobox, window))


@pytest.mark.parametrize("amount", [100, 0.4])
def test_a_decoder_given_a_truncated_file_raises_or_reads_truth_but_never_zeros(
    safe_copy: Path, plain_imagery: Any, amount: float
) -> None:
    """The second line of defence by itself: tile by tile, on one thread."""
    from groundshift.io import jp2

    reader = open_safe(safe_copy, UNVERIFIED)
    info = reader.scene.bands["B02"]
    whole = read_all(reader).dn[0]
    file = band_file(safe_copy)
    file.write_bytes(cut(amount)(file.read_bytes()))
    raised = 0
    for number, window in enumerate(blocks(info.geobox.shape, 300, 300)):
        freshly_opened = jp2.opened(str(file), (1, number), info)
        try:
            dn, _ = jp2.read_tiles(freshly_opened, info, window)
        except ProductError:
            raised += 1
        else:
            np.testing.assert_array_equal(dn, whole[window.slices])
    assert raised


def test_no_verify_reads_on_with_a_warning(safe_copy: Path) -> None:
    file = band_file(safe_copy)
    file.write_bytes(flip(file.read_bytes()))
    reader = open_safe(safe_copy, UNVERIFIED)
    assert [warning.name for warning in reader.scene.warnings] == ["Unverified"]
    assert reader.verify(reader.files(["B02"])[0]).algorithm == "none"
    assert read_all(reader).valid.any()


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_a_listed_file_that_is_missing_is_named_with_exit_code_66(safe_copy: Path, verify: bool, packed: bool) -> None:
    file = band_file(safe_copy)
    file.unlink()
    reader = open_safe(zipped(safe_copy) if packed else safe_copy, OpenOptions(verify=verify))
    for use in (lambda: reader.verify(reader.files(["B02"])[0]), lambda: read_all(reader)):
        with pytest.raises(MissingInputError, match=file.name) as caught:
            use()
        assert caught.value.exit_code == 66
    assert read_all(reader, "B05").valid.any()


def test_a_coarser_copy_never_stands_in_for_a_missing_band(safe_copy: Path) -> None:
    file = band_file(safe_copy)
    coarse = Path(str(file).replace("R10m", "R60m").replace("_10m", "_60m"))
    coarse.write_bytes(band_file(safe_copy, "B09").read_bytes())
    file.unlink()
    with pytest.raises(MissingInputError, match="B02_10m"):
        read_all(open_safe(safe_copy, UNVERIFIED))


def test_an_unknown_checksum_algorithm_is_refused_by_name(safe_copy: Path) -> None:
    edit(safe_copy, "SHA3-256", "CRC-99", "manifest.safe")
    with pytest.raises(ProductError, match=r"CRC-99.*not supported.*--no-verify"):
        read_all(open_safe(safe_copy))


def test_a_file_that_the_manifest_does_not_list_is_read_with_a_warning(safe_copy: Path) -> None:
    edit(safe_copy, r"<dataObject (?:(?!</dataObject>).)*_B05_20m.*?</dataObject>", "", "manifest.safe")
    reader = open_safe(safe_copy)
    assert "B05_20m" in " ".join(str(warning) for warning in reader.scene.warnings)
    assert read_all(reader, "B05").valid.any()


def test_a_manifest_that_points_out_of_the_product_is_refused(safe_copy: Path) -> None:
    edit(safe_copy, r'href="\./GRANULE/[^"]*_B05_20m', 'href="../../../etc/passwd', "manifest.safe")
    with pytest.raises(ProductError, match="outside the product"):
        open_safe(safe_copy)


def test_metadata_that_differ_from_the_manifest_are_told(safe_copy: Path) -> None:
    edit(safe_copy, "<PROCESSING_BASELINE>05.10<", "<PROCESSING_BASELINE>05.11<")
    (warning,) = open_safe(safe_copy).scene.warnings
    assert warning.name == "Unverified"
    assert "MTD_MSIL2A.xml" in str(warning)


# --- R8: the zip itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [10, 60, 0.02, 0.5])
def test_a_zip_cut_off_in_its_table_of_contents_asks_for_a_new_download(safe_copy: Path, amount: float) -> None:
    product = zipped(safe_copy)
    product.write_bytes(cut(amount)(product.read_bytes()))
    with pytest.raises(ProductError, match=r"download it again") as caught:
        open_safe(product)
    assert caught.value.exit_code == 65


def test_a_zip_that_is_a_web_page_says_so(tmp_path: Path) -> None:
    product = tmp_path / "S2A_MSIL2A_x.zip"
    product.write_bytes(b"<html><body>Too many requests</body></html>")
    with pytest.raises(ProductError, match="an HTML page"):
        open_safe(product)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("manifest", [True, False])
def test_a_wrong_crc_is_refused(safe_copy: Path, method: int, manifest: bool) -> None:
    if not manifest:
        (safe_copy / "manifest.safe").unlink()
    product = zipped(safe_copy, method)
    with zipfile.ZipFile(product) as archive:
        info = next(each for each in archive.infolist() if each.filename.endswith("_B02_10m.jp2"))
    data = bytearray(product.read_bytes())
    at = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    data[at : at + 8] = bytes(byte ^ 0xFF for byte in data[at : at + 8])
    product.write_bytes(bytes(data))
    with pytest.raises(ProductError, match="B02_10m"):
        read_all(open_safe(product))


def test_a_zip_with_one_changed_byte_in_a_small_file_names_the_file(safe_copy: Path) -> None:
    product = zipped(safe_copy, zipfile.ZIP_STORED)
    data = product.read_bytes()
    product.write_bytes(data.replace(b"<PROCESSING_BASELINE>05.10", b"<PROCESSING_BASELINE>05.09"))
    with pytest.raises(ProductError, match=r"MTD_MSIL2A\.xml.*download it again"):
        open_safe(product)


# --- R10: offsets and baselines ------------------------------------------------------------------------------------

NO_OFFSETS = r"<BOA_ADD_OFFSET_VALUES_LIST>.*?</BOA_ADD_OFFSET_VALUES_LIST>"


def test_a_baseline_that_must_have_offsets_and_has_none_is_refused(safe_copy: Path) -> None:
    edit(safe_copy, NO_OFFSETS, "")
    edit(safe_copy, "<PROCESSING_BASELINE>05.10<", "<PROCESSING_BASELINE>04.00<")
    with pytest.raises(
        ProductError, match=r"baseline 04\.00 must list radiometric offsets.*--trust metadata"
    ) as caught:
        open_safe(safe_copy)
    assert caught.value.exit_code == 65
    scene = open_safe(safe_copy, OpenOptions(trust="metadata")).scene
    assert scene.bands["B02"].offset == 0
    assert "Offset" in {warning.name for warning in scene.warnings}


def test_an_unknown_baseline_is_told_and_its_xml_followed(safe_copy: Path) -> None:
    edit(safe_copy, "<PROCESSING_BASELINE>05.10<", "<PROCESSING_BASELINE>99.99<")
    scene = open_safe(safe_copy).scene
    assert scene.baseline == (99, 99)
    assert scene.bands["B02"].offset == -1000
    assert any(warning.name == "Baseline" and "99.99" in str(warning) for warning in scene.warnings)
    edit(safe_copy, NO_OFFSETS, "")
    with pytest.raises(ProductError, match=r"99\.99"):
        open_safe(safe_copy)


def test_an_old_baseline_with_offsets_follows_its_xml(safe_copy: Path) -> None:
    edit(safe_copy, "<PROCESSING_BASELINE>05.10<", "<PROCESSING_BASELINE>02.14<")
    edit(safe_copy, r'(<BOA_ADD_OFFSET band_id="1">)-1000', r"\g<1>-250")
    bands = open_safe(safe_copy).scene.bands
    assert (bands["B02"].offset, bands["B05"].offset) == (-250, -1000)


def test_a_band_left_out_of_the_offsets_is_refused(safe_copy: Path) -> None:
    edit(safe_copy, r'<BOA_ADD_OFFSET band_id="4">[^<]*</BOA_ADD_OFFSET>', "")
    with pytest.raises(ProductError, match="none for band B05"):
        open_safe(safe_copy)


@pytest.mark.parametrize("value", ["0", "-10000", "nan", "inf"])
def test_a_quantification_value_that_cannot_be_is_refused(safe_copy: Path, value: str) -> None:
    edit(safe_copy, r"(<BOA_QUANTIFICATION_VALUE[^>]*>)[^<]*", rf"\g<1>{value}")
    with pytest.raises(ProductError, match="quantification value"):
        open_safe(safe_copy)


# --- R12: sizes ----------------------------------------------------------------------------------------------------


def test_a_header_that_claims_a_million_pixels_a_side_is_refused_before_allocation(safe_copy: Path) -> None:
    file = band_file(safe_copy)
    data = bytearray(file.read_bytes())
    siz = data.index(b"\xff\x4f\xff\x51") + 2
    struct.pack_into(">II", data, siz + 6, 1_000_000, 1_000_000)
    file.write_bytes(bytes(data))
    for options in (OpenOptions(), UNVERIFIED):
        with pytest.raises(ProductError, match=r"1000000 x 1000000 pixels.*refused"):
            open_safe(safe_copy, options)


def test_a_tile_grid_of_a_million_pixels_is_refused(safe_copy: Path) -> None:
    edit(safe_copy, r"<NROWS>\d+", "<NROWS>1000000", "MTD_TL.xml")
    with pytest.raises(ProductError, match=r"1e\+06|1000000"):
        open_safe(safe_copy)


def test_an_image_of_another_size_than_its_metadata_keeps_its_own_grid(safe_copy: Path) -> None:
    file = band_file(safe_copy)
    file.write_bytes(band_file(safe_copy, "B05").read_bytes())
    reader = open_safe(safe_copy, UNVERIFIED)
    assert reader.scene.bands["B02"].resolution_m == 20
    assert read_all(reader).valid.any()


# --- what can be left out ------------------------------------------------------------------------------------------


def test_a_product_without_tile_metadata_keeps_its_grid_and_loses_its_sun(safe_copy: Path) -> None:
    grid = open_safe(safe_copy).scene.bands["B02"].geobox
    next(safe_copy.glob("GRANULE/*/MTD_TL.xml")).unlink()
    scene = open_safe(safe_copy).scene
    assert scene.bands["B02"].geobox == grid
    assert scene.sun_zenith_deg is None
    assert scene.tile == "56HKH"


def test_a_product_without_tile_metadata_tells_a_damaged_band_only_when_it_is_used(safe_copy: Path) -> None:
    next(safe_copy.glob("GRANULE/*/MTD_TL.xml")).unlink()
    grid = open_safe(safe_copy).scene.bands["B02"].geobox
    band_file(safe_copy).write_bytes(b"<html>")
    reader = open_safe(safe_copy)
    assert reader.scene.bands["B02"].geobox == grid
    assert read_all(reader, "B09").valid.any()
    with pytest.raises(ProductError, match="an HTML page"):
        read_all(reader)


def test_a_product_without_manifest_or_scl_reads_with_warnings(safe_copy: Path) -> None:
    (safe_copy / "manifest.safe").unlink()
    band_file(safe_copy, "SCL").unlink()
    reader = open_safe(safe_copy)
    assert reader.read_classification(reader.scene.bands["B05"].geobox) is None
    assert {"Unverified", "Cloud"} <= {warning.name for warning in reader.scene.warnings}
    assert read_all(reader).valid.any()


def test_what_is_no_product_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="does not exist"):
        open_safe(tmp_path / "nothing.SAFE")
    with pytest.raises(ProductError, match="no SAFE product"):
        open_safe(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ProductError, match="no SAFE product"):
        open_safe(tmp_path / "a.zip")


def test_a_zip_of_two_products_is_refused(safe_copy: Path) -> None:
    product = zipped(safe_copy)
    with zipfile.ZipFile(product, "a") as archive:
        archive.writestr("other.SAFE/MTD_MSIL2A.xml", "<a/>")
    with pytest.raises(ProductError, match="2 products"):
        open_safe(product)


# --- R13: another process ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_reader_sent_to_another_process_finds_what_was_verified(safe_copy: Path, tmp_path: Path, method: int) -> None:
    scratch = tmp_path / "scratch"
    reader = open_safe(zipped(safe_copy, method), OpenOptions(scratch=str(scratch)))
    reader.verify(reader.files(["B02"])[0])
    before = {path: path.stat().st_mtime_ns for path in scratch.iterdir()}
    script = (
        "import pickle, sys, hashlib\n"
        "reader = pickle.loads(sys.stdin.buffer.read())\n"
        "type(reader).verify = None\n"
        "pixels = reader.read(['B02'], reader.scene.bands['B02'].geobox)\n"
        "print(hashlib.sha256(pixels.dn.tobytes()).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], input=pickle.dumps(reader), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == hashlib.sha256(read_all(reader).dn.tobytes()).hexdigest()
    assert {path: path.stat().st_mtime_ns for path in scratch.iterdir()} == before
    assert not list(scratch.glob("*.tmp"))


def test_a_file_changed_after_it_was_verified_is_verified_again(safe_copy: Path) -> None:
    reader = open_safe(safe_copy)
    read_all(reader)
    file = band_file(safe_copy)
    file.write_bytes(flip(file.read_bytes()))
    with pytest.raises(ProductError, match="SHA3-256"):
        read_all(reader)


def test_temporary_files_go_when_the_process_ends(safe_copy: Path, tmp_path: Path) -> None:
    product = zipped(safe_copy)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    script = (
        "import sys\nfrom pathlib import Path\nfrom groundshift.io.safe import open_safe\n"
        "r = open_safe(Path(sys.argv[1]))\nr.read(['B05'], r.scene.bands['B05'].geobox)\n"
        "assert len(list(Path(sys.argv[2]).rglob('*.jp2'))) == 1\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, product, temporary],
        env={"TMPDIR": str(temporary), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    assert not [path for path in temporary.iterdir() if path.name.startswith("groundshift")]


def test_the_structure_check_reads_headers_only(safe_folder: Path) -> None:
    from groundshift.io.jp2 import check_complete

    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    data = band_file(safe_folder).read_bytes()
    stream = Counting(data)
    header = check_complete(stream, "B02")
    assert (header.width, header.height, header.tiles) == (1224, 1224, 4)
    assert stream.read_bytes < 2**17 + 1000 < len(data)
