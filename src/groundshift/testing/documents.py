"""The XML documents of a SAFE product: product, tile and datastrip metadata, quality reports and the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from groundshift.model.bands import BANDS
from groundshift.testing.naming import ProductIdentity, instant

_SPACECRAFT = {"S2A": "Sentinel-2A", "S2B": "Sentinel-2B", "S2C": "Sentinel-2C", "S2D": "Sentinel-2D"}
_IRRADIANCE = (1884.7, 1959.7, 1823.2, 1512.1, 1424.6, 1287.6, 1162.1, 1041.6, 955.3, 812.9, 367.2, 245.6, 85.3)
_HALF_WIDTH_NM = (10, 33, 18, 16, 8, 8, 10, 53, 11, 10, 15, 46, 90)
_PHYSICAL_GAINS = (4.1, 3.75, 4.2, 4.5, 5.2, 4.85, 4.5, 6.1, 5.1, 8.5, 54.8, 35.2, 106.2)
_SCL_NAMES = (
    "SC_NODATA",
    "SC_SATURATED_DEFECTIVE",
    "SC_DARK_FEATURE_SHADOW",
    "SC_CLOUD_SHADOW",
    "SC_VEGETATION",
    "SC_NOT_VEGETATED",
    "SC_WATER",
    "SC_UNCLASSIFIED",
    "SC_CLOUD_MEDIUM_PROBA",
    "SC_CLOUD_HIGH_PROBA",
    "SC_THIN_CIRRUS",
    "SC_SNOW_ICE",
)
_SCL_SHARES = (
    "NODATA_PIXEL_PERCENTAGE",
    "SATURATED_DEFECTIVE_PIXEL_PERCENTAGE",
    "DARK_FEATURES_PERCENTAGE",
    "CLOUD_SHADOW_PERCENTAGE",
    "VEGETATION_PERCENTAGE",
    "NOT_VEGETATED_PERCENTAGE",
    "WATER_PERCENTAGE",
    "UNCLASSIFIED_PERCENTAGE",
    "MEDIUM_PROBA_CLOUDS_PERCENTAGE",
    "HIGH_PROBA_CLOUDS_PERCENTAGE",
    "THIN_CIRRUS_PERCENTAGE",
    "SNOW_ICE_PERCENTAGE",
)
_GRID_STEP_M = 5000
_GRID_NODES = 23
_REPORTS = ("FORMAT_CORRECTNESS", "GENERAL_QUALITY", "GEOMETRIC_QUALITY", "RADIOMETRIC_QUALITY", "SENSOR_QUALITY")
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@dataclass(frozen=True, kw_only=True)
class ProductFacts:
    """What the metadata say of the pixels."""

    identity: ProductIdentity
    epsg: int
    corner: tuple[float, float]
    """(x, y) of the upper-left corner, metres."""
    sizes: Mapping[int, tuple[int, int]]
    """(rows, columns) by resolution in metres."""
    sun: tuple[float, float]
    """Mean (zenith, azimuth), degrees."""
    sun_gradient: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Change of zenith per 5 km eastward and southward, then of azimuth, degrees."""
    footprint: Sequence[tuple[float, float]] = ()
    """Closed ring of (latitude, longitude)."""
    images: Sequence[str] = ()
    """Paths of the images from the product's top, without ending."""
    masks: Sequence[str] = ()
    """Paths of the QI masks from the product's top."""
    class_percent: Sequence[float] = field(default_factory=lambda: [0.0] * 12)
    """Share of each SCL class in percent: of no data over all pixels, of the others over the valid ones."""

    @property
    def cloud_percent(self) -> float:
        """Clouds of medium and high probability and cirrus, percent."""
        return float(sum(self.class_percent[8:11]))

    @property
    def over_land_percent(self) -> float:
        """Clouds over land, percent of what is not water."""
        land = 100.0 - self.class_percent[6]
        return min(100.0, 100.0 * self.cloud_percent / land) if land > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One entry of the manifest."""

    object_id: str
    path: str
    """From the product's top."""
    mime: str
    size: int
    digest: str


def product_metadata(facts: ProductFacts) -> str:
    """The product metadata, MTD_MSIL2A.xml or MTD_MSIL1C.xml."""
    level, one_c = _long_level(facts), facts.identity.level == "L1C"
    schema = f"https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_{level}.xsd"
    return (
        f'{_HEAD}<n1:{level}_User_Product xmlns:n1="{schema}" {_XSI} xsi:schemaLocation="{schema}">\n'
        f"    <n1:General_Info>\n{_product_info(facts)}{_image_characteristics(facts)}    </n1:General_Info>\n"
        f"{_product_geometry(facts)}"
        "    <n1:Auxiliary_Data_Info>\n        <GIPP_List/>\n"
        "        <PRODUCTION_DEM_TYPE>Not applicable</PRODUCTION_DEM_TYPE>\n"
        "    </n1:Auxiliary_Data_Info>\n"
        f"{_product_quality(facts, one_c)}"
        f"</n1:{level}_User_Product>\n"
    )


def _long_level(facts: ProductFacts) -> str:
    return "Level-1C" if facts.identity.level == "L1C" else "Level-2A"


def _old_l2a(facts: ProductFacts) -> bool:
    """The Level-2A of the long-name years had its own prefix in many element names."""
    return facts.identity.level == "L2A" and not facts.identity.compact


def _product_info(facts: ProductFacts) -> str:
    who, prefix = facts.identity, "L2A_" if _old_l2a(facts) else ""
    sensed = instant(who.sensing_time)
    uri = f"<PRODUCT_URI>{who.name}.SAFE</PRODUCT_URI>"
    if prefix:
        uri = f"<PRODUCT_URI_2A>{who.name}.SAFE</PRODUCT_URI_2A>"
    return f"""        <{prefix}Product_Info>
            <PRODUCT_START_TIME>{sensed}</PRODUCT_START_TIME>
            <PRODUCT_STOP_TIME>{sensed}</PRODUCT_STOP_TIME>
            {uri}
            <PROCESSING_LEVEL>{_long_level(facts)}{"p" if prefix else ""}</PROCESSING_LEVEL>
            <PRODUCT_TYPE>S2MSI{who.level[1:]}{"p" if prefix else ""}</PRODUCT_TYPE>
            <PROCESSING_BASELINE>{who.baseline_dotted}</PROCESSING_BASELINE>
            <GENERATION_TIME>{instant(who.generation_time, 6)}</GENERATION_TIME>
            <PREVIEW_IMAGE_URL>Not applicable</PREVIEW_IMAGE_URL>
            <PREVIEW_GEO_INFO>Not applicable</PREVIEW_GEO_INFO>
            <Datatake datatakeIdentifier="{_datatake(who)}">
                <SPACECRAFT_NAME>{_SPACECRAFT[who.platform]}</SPACECRAFT_NAME>
                <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
                <DATATAKE_SENSING_START>{sensed}</DATATAKE_SENSING_START>
                <SENSING_ORBIT_NUMBER>{who.relative_orbit}</SENSING_ORBIT_NUMBER>
                <SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
            </Datatake>
            <Query_Options completeSingleTile="true">
                <PRODUCT_FORMAT>{"SAFE_COMPACT" if who.compact else "SAFE"}</PRODUCT_FORMAT>
{_band_list(facts)}            </Query_Options>
{_organisation(facts, prefix)}        </{prefix}Product_Info>
"""


def _datatake(who: ProductIdentity) -> str:
    sensed = who.sensing_time.strftime("%Y%m%dT%H%M%S")
    return f"G{who.platform}_{sensed}_{who.absolute_orbit:06d}_N{who.baseline_dotted}"


def _band_list(facts: ProductFacts) -> str:
    if facts.identity.compact:
        return ""
    written = [name for name in BANDS if any(f"_{name}" in image for image in facts.images)]
    names = "".join(f"                    <BAND_NAME>{_physical(name)}</BAND_NAME>\n" for name in written)
    return f"                <Band_List>\n{names}                </Band_List>\n"


def _physical(name: str) -> str:
    return name.replace("B0", "B")


def _organisation(facts: ProductFacts, prefix: str) -> str:
    who = facts.identity
    tag, granule = ("IMAGE_FILE", "Granule") if who.compact else (f"IMAGE_ID{'_2A' if prefix else ''}", "Granules")
    names = facts.images if who.compact else [image.rsplit("/", 1)[1] for image in facts.images]
    images = "".join(f"                        <{tag}>{escape(name)}</{tag}>\n" for name in names)
    return (
        f"            <{prefix}Product_Organisation>\n                <Granule_List>\n"
        f'                    <{granule} datastripIdentifier="{who.datastrip_id}" '
        f'granuleIdentifier="{who.tile_id}" imageFormat="JPEG2000">\n{images}'
        f"                    </{granule}>\n                </Granule_List>\n"
        f"            </{prefix}Product_Organisation>\n"
    )


def _image_characteristics(facts: ProductFacts) -> str:
    prefix = "L2A_" if _old_l2a(facts) else ""
    spectral = "".join(_spectral_information(i) for i in range(13))
    gains = "".join(
        f'            <PHYSICAL_GAINS bandId="{i}">{gain}</PHYSICAL_GAINS>\n' for i, gain in enumerate(_PHYSICAL_GAINS)
    )
    irradiance = "".join(
        f'                    <SOLAR_IRRADIANCE bandId="{i}" unit="W/m²/µm">{value}</SOLAR_IRRADIANCE>\n'
        for i, value in enumerate(_IRRADIANCE)
    )
    return f"""        <{prefix}Product_Image_Characteristics>
            <Special_Values>
                <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
                <SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
            </Special_Values>
            <Special_Values>
                <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>
                <SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
            </Special_Values>
            <Image_Display_Order>
                <RED_CHANNEL>3</RED_CHANNEL>
                <GREEN_CHANNEL>2</GREEN_CHANNEL>
                <BLUE_CHANNEL>1</BLUE_CHANNEL>
            </Image_Display_Order>
{_quantification(facts)}{_offsets(facts)}            <Reflectance_Conversion>
                <U>1.0</U>
                <Solar_Irradiance_List>
{irradiance}                </Solar_Irradiance_List>
            </Reflectance_Conversion>
            <Spectral_Information_List>
{spectral}            </Spectral_Information_List>
{gains}            <REFERENCE_BAND>3</REFERENCE_BAND>
{_scene_classification(facts)}        </{prefix}Product_Image_Characteristics>
"""


def _quantification(facts: ProductFacts) -> str:
    if facts.identity.level == "L1C":
        return '            <QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>\n'
    names = ("L1C_L2A_Quantification_Values_List", "L2A_") if _old_l2a(facts) else ("QUANTIFICATION_VALUES_LIST", "")
    return (
        f"            <{names[0]}>\n"
        f'                <{names[1]}BOA_QUANTIFICATION_VALUE unit="none">10000</{names[1]}BOA_QUANTIFICATION_VALUE>\n'
        f'                <{names[1]}AOT_QUANTIFICATION_VALUE unit="none">1000.0</{names[1]}AOT_QUANTIFICATION_VALUE>\n'
        f'                <{names[1]}WVP_QUANTIFICATION_VALUE unit="cm">1000.0</{names[1]}WVP_QUANTIFICATION_VALUE>\n'
        f"            </{names[0]}>\n"
    )


def _offsets(facts: ProductFacts) -> str:
    offset = facts.identity.offset
    if not offset:
        return ""
    group, tag = (
        ("Radiometric_Offset_List", "RADIO_ADD_OFFSET")
        if facts.identity.level == "L1C"
        else ("BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET")
    )
    values = "".join(f'                <{tag} band_id="{i}">{offset}</{tag}>\n' for i in range(13))
    return f"            <{group}>\n{values}            </{group}>\n"


def _spectral_information(band_id: int) -> str:
    band = list(BANDS.values())[band_id]
    half = _HALF_WIDTH_NM[band_id]
    response = " ".join(f"{math.exp(-2.8 * (step / half) ** 2):.6f}" for step in range(-half, half + 1))
    return f"""                <Spectral_Information bandId="{band_id}" physicalBand="{_physical(band.name)}">
                    <RESOLUTION>{band.resolution_m}</RESOLUTION>
                    <Wavelength>
                        <MIN unit="nm">{round(band.wavelength_nm) - half}</MIN>
                        <MAX unit="nm">{round(band.wavelength_nm) + half}</MAX>
                        <CENTRAL unit="nm">{band.wavelength_nm}</CENTRAL>
                    </Wavelength>
                    <Spectral_Response>
                        <STEP unit="nm">1</STEP>
                        <VALUES>{response}</VALUES>
                    </Spectral_Response>
                </Spectral_Information>
"""


def _scene_classification(facts: ProductFacts) -> str:
    if facts.identity.level == "L1C":
        return ""
    prefix = "L2A_" if _old_l2a(facts) else ""
    entries = "".join(
        f"                <{prefix}Scene_Classification_ID>\n"
        f"                    <{prefix}SCENE_CLASSIFICATION_TEXT>{name}</{prefix}SCENE_CLASSIFICATION_TEXT>\n"
        f"                    <{prefix}SCENE_CLASSIFICATION_INDEX>{code}</{prefix}SCENE_CLASSIFICATION_INDEX>\n"
        f"                </{prefix}Scene_Classification_ID>\n"
        for code, name in enumerate(_SCL_NAMES)
    )
    group = f"{prefix}Scene_Classification_List"
    return f"            <{group}>\n{entries}            </{group}>\n"


def _ring(facts: ProductFacts) -> str:
    return " ".join(f"{lat} {lon}" for lat, lon in facts.footprint)


def _product_geometry(facts: ProductFacts) -> str:
    return f"""    <n1:Geometric_Info>
        <Product_Footprint>
            <Product_Footprint>
                <Global_Footprint>
                    <EXT_POS_LIST>{_ring(facts)} </EXT_POS_LIST>
                </Global_Footprint>
            </Product_Footprint>
            <RASTER_CS_TYPE>POINT</RASTER_CS_TYPE>
            <PIXEL_ORIGIN>1</PIXEL_ORIGIN>
        </Product_Footprint>
        <Coordinate_Reference_System>
            <GEO_TABLES version="1">EPSG</GEO_TABLES>
            <HORIZONTAL_CS_TYPE>GEOGRAPHIC</HORIZONTAL_CS_TYPE>
        </Coordinate_Reference_System>
    </n1:Geometric_Info>
"""


def _product_quality(facts: ProductFacts, one_c: bool) -> str:
    checks = "".join(f'                <quality_check checkType="{name}">PASSED</quality_check>\n' for name in _REPORTS)
    content = "" if one_c else f"{_image_content(facts, 8)}"
    return f"""    <n1:Quality_Indicators_Info>
        <Cloud_Coverage_Assessment>{facts.cloud_percent:.6f}</Cloud_Coverage_Assessment>
        <Technical_Quality_Assessment>
            <DEGRADED_ANC_DATA_PERCENTAGE>0.0</DEGRADED_ANC_DATA_PERCENTAGE>
            <DEGRADED_MSI_DATA_PERCENTAGE>0</DEGRADED_MSI_DATA_PERCENTAGE>
        </Technical_Quality_Assessment>
        <Quality_Control_Checks>
            <Quality_Inspections>
{checks}            </Quality_Inspections>
            <Failed_Inspections/>
        </Quality_Control_Checks>
{content}    </n1:Quality_Indicators_Info>
"""


def _image_content(facts: ProductFacts, indent: int) -> str:
    pad = " " * indent
    shares = "".join(
        f"{pad}    <{name}>{value:.6f}</{name}>\n" for name, value in zip(_SCL_SHARES, facts.class_percent, strict=True)
    )
    return (
        f"{pad}<Image_Content_QI>\n"
        f"{pad}    <CLOUDY_PIXEL_OVER_LAND_PERCENTAGE>{facts.over_land_percent:.6f}"
        f"</CLOUDY_PIXEL_OVER_LAND_PERCENTAGE>\n{shares}"
        f"{pad}    <RADIATIVE_TRANSFER_ACCURACY>0.0</RADIATIVE_TRANSFER_ACCURACY>\n"
        f"{pad}    <WATER_VAPOUR_RETRIEVAL_ACCURACY>0.0</WATER_VAPOUR_RETRIEVAL_ACCURACY>\n"
        f"{pad}    <AOT_RETRIEVAL_ACCURACY>0.0</AOT_RETRIEVAL_ACCURACY>\n{pad}</Image_Content_QI>\n"
    )


def tile_metadata(facts: ProductFacts) -> str:
    """The tile metadata, MTD_TL.xml."""
    level, who = _long_level(facts), facts.identity
    schema = f"https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_{level}_Tile_Metadata.xsd"
    return f"""{_HEAD}<n1:{level}_Tile_ID xmlns:n1="{schema}" {_XSI} xsi:schemaLocation="{schema}">
  <n1:General_Info>
    <TILE_ID metadataLevel="Brief">{who.tile_id}</TILE_ID>
    <DATASTRIP_ID metadataLevel="Standard">{who.datastrip_id}</DATASTRIP_ID>
    <DOWNLINK_PRIORITY metadataLevel="Standard">NOMINAL</DOWNLINK_PRIORITY>
    <SENSING_TIME metadataLevel="Standard">{instant(who.sensing_time, 6)}</SENSING_TIME>
    <Archiving_Info metadataLevel="Expertise">
      <ARCHIVING_CENTRE>{who.centre}</ARCHIVING_CENTRE>
      <ARCHIVING_TIME>{instant(who.generation_time, 6)}</ARCHIVING_TIME>
    </Archiving_Info>
  </n1:General_Info>
  <n1:Geometric_Info>
{_geocoding(facts)}{_angles(facts)}  </n1:Geometric_Info>
{_tile_quality(facts)}</n1:{level}_Tile_ID>
"""


def _geocoding(facts: ProductFacts) -> str:
    zone, south = facts.epsg % 100, facts.epsg >= 32700
    sizes = "".join(
        f'      <Size resolution="{res}">\n        <NROWS>{rows}</NROWS>\n        <NCOLS>{columns}</NCOLS>\n'
        "      </Size>\n"
        for res, (rows, columns) in facts.sizes.items()
    )
    places = "".join(
        f'      <Geoposition resolution="{res}">\n        <ULX>{facts.corner[0]:.0f}</ULX>\n'
        f"        <ULY>{facts.corner[1]:.0f}</ULY>\n        <XDIM>{res}</XDIM>\n        <YDIM>-{res}</YDIM>\n"
        "      </Geoposition>\n"
        for res in facts.sizes
    )
    return (
        '    <Tile_Geocoding metadataLevel="Brief">\n'
        f"      <HORIZONTAL_CS_NAME>WGS84 / UTM zone {zone}{'S' if south else 'N'}</HORIZONTAL_CS_NAME>\n"
        f"      <HORIZONTAL_CS_CODE>EPSG:{facts.epsg}</HORIZONTAL_CS_CODE>\n{sizes}{places}    </Tile_Geocoding>\n"
    )


def _angles(facts: ProductFacts) -> str:
    zenith, azimuth = facts.sun
    gz = facts.sun_gradient
    viewing = "".join(_viewing(i, detector) for i in range(13) for detector in _detectors())
    means = "".join(
        f'        <Mean_Viewing_Incidence_Angle bandId="{i}">\n'
        f'          <ZENITH_ANGLE unit="deg">{_mean_view(i)[0]:.6f}</ZENITH_ANGLE>\n'
        f'          <AZIMUTH_ANGLE unit="deg">{_mean_view(i)[1]:.6f}</AZIMUTH_ANGLE>\n'
        "        </Mean_Viewing_Incidence_Angle>\n"
        for i in range(13)
    )
    return f"""    <Tile_Angles metadataLevel="Standard">
      <Sun_Angles_Grid>
{_grid("Zenith", [[zenith + gz[0] * (x - 11) + gz[1] * (y - 11) for x in range(23)] for y in range(23)])}\
{_grid("Azimuth", [[azimuth + gz[2] * (x - 11) + gz[3] * (y - 11) for x in range(23)] for y in range(23)])}\
      </Sun_Angles_Grid>
      <Mean_Sun_Angle>
        <ZENITH_ANGLE unit="deg">{zenith:.9f}</ZENITH_ANGLE>
        <AZIMUTH_ANGLE unit="deg">{azimuth:.9f}</AZIMUTH_ANGLE>
      </Mean_Sun_Angle>
{viewing}      <Mean_Viewing_Incidence_Angle_List>
{means}      </Mean_Viewing_Incidence_Angle_List>
    </Tile_Angles>
"""


def _grid(name: str, rows: Sequence[Sequence[float]]) -> str:
    lines = "".join(
        "            <VALUES>" + " ".join("NaN" if math.isnan(v) else f"{v:.6g}" for v in row) + "</VALUES>\n"
        for row in rows
    )
    return (
        f'        <{name}>\n          <COL_STEP unit="m">{_GRID_STEP_M}</COL_STEP>\n'
        f'          <ROW_STEP unit="m">{_GRID_STEP_M}</ROW_STEP>\n          <Values_List>\n{lines}'
        f"          </Values_List>\n        </{name}>\n"
    )


def _detectors() -> range:
    """A tile is crossed by about five of the twelve detectors."""
    return range(6, 11)


def _mean_view(band_id: int) -> tuple[float, float]:
    return 4.1 + 0.02 * band_id, 104.0 + 0.1 * band_id


def _viewing(band_id: int, detector: int) -> str:
    """One detector's stripe of the viewing grids: a fifth of the tile, leaning with the orbit, NaN beside it."""
    first = (detector - 6) * _GRID_NODES / 5
    zenith, azimuth = [], []
    for y in range(_GRID_NODES):
        lean = -0.12 * (y - 11)
        inside = [first + lean - 0.5 <= x <= first + lean + 5.1 for x in range(_GRID_NODES)]
        view = _mean_view(band_id)
        zenith.append([view[0] + 0.21 * (x - 11) if ok else math.nan for x, ok in enumerate(inside)])
        azimuth.append([view[1] + (6 if detector % 2 else -6) if ok else math.nan for ok in inside])
    return (
        f'      <Viewing_Incidence_Angles_Grids bandId="{band_id}" detectorId="{detector}">\n'
        f"{_grid('Zenith', zenith)}{_grid('Azimuth', azimuth)}      </Viewing_Incidence_Angles_Grids>\n"
    )


def _tile_quality(facts: ProductFacts) -> str:
    content = (
        _image_content(facts, 4)
        if facts.identity.level == "L2A"
        else (
            "    <Image_Content_QI>\n"
            f"      <CLOUDY_PIXEL_PERCENTAGE>{facts.cloud_percent:.6f}</CLOUDY_PIXEL_PERCENTAGE>\n"
            "      <DEGRADED_MSI_DATA_PERCENTAGE>0</DEGRADED_MSI_DATA_PERCENTAGE>\n    </Image_Content_QI>\n"
        )
    )
    content = content.replace(
        "<Image_Content_QI>\n        <CLOUDY_PIXEL_OVER_LAND",
        f"<Image_Content_QI>\n        <CLOUDY_PIXEL_PERCENTAGE>{facts.cloud_percent:.6f}</CLOUDY_PIXEL_PERCENTAGE>\n"
        "        <CLOUDY_PIXEL_OVER_LAND",
    )
    masks = "".join(
        f'      <MASK_FILENAME type="{path.rsplit("/", 1)[1][:10]}">{path}</MASK_FILENAME>\n' for path in facts.masks
    )
    return f"""  <n1:Quality_Indicators_Info metadataLevel="Standard">
{content}    <Pixel_Level_QI geometry="FULL_RESOLUTION">
{masks}    </Pixel_Level_QI>
    <PVI_FILENAME>{facts.identity.preview}</PVI_FILENAME>
  </n1:Quality_Indicators_Info>
"""


def datastrip_metadata(facts: ProductFacts) -> str:
    """The datastrip metadata, MTD_DS.xml, without its ephemeris."""
    level, who = _long_level(facts), facts.identity
    schema = f"https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_{level}_Datastrip_Metadata.xsd"
    return f"""{_HEAD}<n1:{level}_DataStrip_ID xmlns:n1="{schema}" {_XSI} xsi:schemaLocation="{schema}">
  <n1:General_Info>
    <Datatake_Info datatakeIdentifier="{_datatake(who)}">
      <SPACECRAFT_NAME>{_SPACECRAFT[who.platform]}</SPACECRAFT_NAME>
      <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
      <DATATAKE_SENSING_START>{instant(who.sensing_time)}</DATATAKE_SENSING_START>
      <SENSING_ORBIT_NUMBER>{who.relative_orbit}</SENSING_ORBIT_NUMBER>
      <SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
    </Datatake_Info>
    <Datastrip_Time_Info>
      <DATASTRIP_SENSING_START>{instant(who.datastrip_time)}</DATASTRIP_SENSING_START>
      <DATASTRIP_SENSING_STOP>{instant(who.sensing_time)}</DATASTRIP_SENSING_STOP>
    </Datastrip_Time_Info>
    <Processing_Info>
      <PROCESSING_LEVEL>{level}</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{who.baseline_dotted}</PROCESSING_BASELINE>
      <UTC_DATE_TIME>{instant(who.generation_time, 6)}</UTC_DATE_TIME>
    </Processing_Info>
  </n1:General_Info>
</n1:{level}_DataStrip_ID>
"""


def quality_reports(who: ProductIdentity) -> dict[str, str]:
    """The quality reports that lie beside datastrip and granule, by file name."""
    return {
        f"{name}.xml": f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Earth_Explorer_File xmlns="http://gs2.esa.int/DATA_STRUCTURE/olqcReport">
  <Earth_Explorer_Header>
    <Fixed_Header>
      <File_Name>{name}.xml</File_Name>
      <Mission>{who.platform}</Mission>
      <File_Class>OPER</File_Class>
      <File_Type>REP_OLQCPA</File_Type>
    </Fixed_Header>
  </Earth_Explorer_Header>
  <Data_Block type="xml">
    <report date="{instant(who.generation_time)}" gippVersion="1.0" globalStatus="PASSED">
      <checkList parentID="{who.tile_id}" name="{name}" version="1.0"/>
    </report>
  </Data_Block>
</Earth_Explorer_File>
"""
        for name in _REPORTS
    }


def inspire(facts: ProductFacts) -> str:
    """A short INSPIRE record of the product."""
    return f"""{_HEAD}<gmd:MD_Metadata xmlns:gco="http://www.isotc211.org/2005/gco" \
xmlns:gmd="http://www.isotc211.org/2005/gmd">
  <gmd:fileIdentifier>
    <gco:CharacterString>{facts.identity.name}</gco:CharacterString>
  </gmd:fileIdentifier>
  <gmd:dateStamp>
    <gco:Date>{facts.identity.generation_time.date()}</gco:Date>
  </gmd:dateStamp>
</gmd:MD_Metadata>
"""


def presentation(facts: ProductFacts) -> str:
    """The page that a browser shows for the product."""
    return (
        f"<!DOCTYPE html>\n<html><head><title>{facts.identity.name}</title></head>"
        f"<body><h1>{facts.identity.name}</h1><p>Synthetic product made by groundshift.</p></body></html>\n"
    )


def manifest(facts: ProductFacts, files: Sequence[StoredFile], algorithm: str) -> str:
    """The manifest: every file with its size and checksum."""
    who = facts.identity
    return (
        f'{_HEAD}<xfdu:XFDU xmlns:gml="http://www.opengis.net/gml" '
        'xmlns:safe="http://www.esa.int/safe/sentinel/1.1" xmlns:xfdu="urn:ccsds:schema:xfdu:1" '
        f'version="esa/safe/sentinel/1.1/sentinel-2/msi/archive_{who.level.lower()}_user_product">\n'
        f"{_package_map(who, files)}{_manifest_metadata(facts)}    <dataObjectSection>\n"
        f"{''.join(_data_object(file, algorithm) for file in files)}    </dataObjectSection>\n</xfdu:XFDU>\n"
    )


def _package_map(who: ProductIdentity, files: Sequence[StoredFile]) -> str:
    level = "Level-1C" if who.level == "L1C" else "Level-2A"
    units = "".join(
        f'            <xfdu:contentUnit ID="{file.object_id.removesuffix("_Data")}_Unit" '
        f'unitType="{"Metadata Unit" if "Metadata" in file.object_id else "Measurement Data Unit"}">\n'
        f'                <dataObjectPointer dataObjectID="{file.object_id}"/>\n            </xfdu:contentUnit>\n'
        for file in files
    )
    return (
        '    <informationPackageMap>\n        <xfdu:contentUnit dmdID="acquisitionPeriod platform" '
        f'pdiID="processing" textInfo="SENTINEL-2 MSI {level} User Product" unitType="Product_{level}">\n'
        f"{units}        </xfdu:contentUnit>\n    </informationPackageMap>\n"
    )


def _manifest_metadata(facts: ProductFacts) -> str:
    who, level = facts.identity, _long_level(facts)
    blocks = {
        "acquisitionPeriod": (
            "DMD",
            "Acquisition Period",
            f"<safe:acquisitionPeriod><safe:startTime>{instant(who.sensing_time)}</safe:startTime>"
            "</safe:acquisitionPeriod>",
        ),
        "measurementOrbitReference": (
            "DMD",
            "Orbit Reference",
            '<safe:orbitReference><safe:orbitNumber groundTrackDirection="descending" type="start">'
            f'{who.absolute_orbit:06d}</safe:orbitNumber><safe:relativeOrbitNumber type="start">'
            f"{who.relative_orbit:03d}</safe:relativeOrbitNumber></safe:orbitReference>",
        ),
        "platform": (
            "DMD",
            "Platform Description",
            "<safe:platform><safe:nssdcIdentifier>2015-000A</safe:nssdcIdentifier>"
            f"<safe:familyName>SENTINEL</safe:familyName><safe:number>{who.platform[1:]}</safe:number>"
            '<safe:instrument><safe:familyName abbreviation="MSI">Multi-Spectral Instrument</safe:familyName>'
            "</safe:instrument></safe:platform>",
        ),
        "processing": (
            "PDI",
            "Processing",
            f'<safe:processing name="Generation of {level} User Product" start="{instant(who.generation_time, 6)}"/>',
        ),
        "measurementFrameSet": (
            "DMD",
            "Frame Set",
            '<safe:frameSet><safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326">'
            f"<gml:coordinates>{_ring(facts)} </gml:coordinates></safe:footPrint></safe:frameSet>",
        ),
    }
    body = "".join(
        f'        <metadataObject ID="{name}" category="{category}" '
        f'classification="{"PROVENANCE" if category == "PDI" else "DESCRIPTION"}">\n'
        f'            <metadataWrap mimeType="text/xml" textInfo="{text}" vocabularyName="Sentinel-SAFE">\n'
        f"                <xmlData>{content}</xmlData>\n            </metadataWrap>\n        </metadataObject>\n"
        for name, (category, text, content) in blocks.items()
    )
    return f"    <metadataSection>\n{body}    </metadataSection>\n"


def _data_object(file: StoredFile, algorithm: str) -> str:
    return f"""        <dataObject ID="{file.object_id}">
            <byteStream mimeType="{file.mime}" size="{file.size}">
                <fileLocation href={quoteattr("./" + file.path)} locatorType="URL"/>
                <checksum checksumName="{algorithm}">{file.digest}</checksum>
            </byteStream>
        </dataObject>
"""
