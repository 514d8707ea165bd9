"""The words of the Core Business Vocabulary 2.0 that a canonical event may hold, and those we translate.

EPCIS takes a standard value as a bare word and any other as a URI; a word that is in neither stays with the extension
fields, since a bare word that the standard does not have makes a document invalid.
"""

from __future__ import annotations

from typing import Final

BIZ_STEPS: Final = frozenset(
    [
        "accepting",
        "arriving",
        "assembling",
        "collecting",
        "commissioning",
        "consigning",
        "creating_class_instance",
        "cycle_counting",
        "decommissioning",
        "departing",
        "destroying",
        "disassembling",
        "dispensing",
        "encoding",
        "entering_exiting",
        "holding",
        "inspecting",
        "installing",
        "killing",
        "loading",
        "other",
        "packing",
        "picking",
        "receiving",
        "removing",
        "repackaging",
        "repairing",
        "replacing",
        "reserving",
        "retail_selling",
        "shipping",
        "staging_outbound",
        "stock_taking",
        "stocking",
        "storing",
        "transporting",
        "unloading",
        "unpacking",
        "void_shipping",
        "sensor_reporting",
        "sampling",
    ]
)
DISPOSITIONS: Final = frozenset(
    [
        "active",
        "container_closed",
        "damaged",
        "destroyed",
        "dispensed",
        "disposed",
        "encoded",
        "expired",
        "in_progress",
        "in_transit",
        "inactive",
        "no_pedigree_match",
        "non_sellable_other",
        "partially_dispensed",
        "recalled",
        "reserved",
        "retail_sold",
        "returned",
        "sellable_accessible",
        "sellable_not_accessible",
        "stolen",
        "unknown",
        "available",
        "completeness_verified",
        "completeness_inferred",
        "conformant",
        "container_open",
        "mismatch_instance",
        "mismatch_class",
        "mismatch_quantity",
        "needs_replacement",
        "non_conformant",
        "unavailable",
    ]
)
PERSISTENT: Final = "mismatch_"
"""Dispositions that last until they are unset: the ontology recommends it for these."""

TRANSACTION_TYPES: Final = {
    "asn": "desadv",
    "purchase_order": "po",
    "rma": "rma",
    "invoice": "inv",
    "bill_of_lading": "bol",
    "production_order": "prodorder",
    "receipt_advice": "recadv",
}
"""CBV business transaction type by our kind of document. Others (a pick list, a count sheet, a transfer) have none and
get a type of our namespace."""
PLAIN_TRANSACTION_TYPES: Final = frozenset(
    [
        "bol",
        "cert",
        "desadv",
        "inv",
        "pedigree",
        "po",
        "poc",
        "prodorder",
        "recadv",
        "rma",
        "testprd",
        "testres",
        "upevt",
    ]
)
"""Those that a label may name by the word of CBV itself, as AI 400 ("po") does."""
DOCUMENT_TYPES: Final = {word: ours for ours, word in TRANSACTION_TYPES.items()}

MEASUREMENT_TYPES: Final = {
    "CEL": "Temperature",
    "FAH": "Temperature",
    "KEL": "Temperature",
    "KGM": "Mass",
    "GRM": "Mass",
    "LBR": "Mass",
    "MTR": "Length",
    "CMT": "Length",
    "MMT": "Length",
    "MTS": "Speed",
    "BAR": "Pressure",
    "PAL": "Pressure",
    "HPA": "Pressure",
    "LTR": "Volume",
    "MTQ": "Volume",
    "SEC": "Time",
    "MIN": "Time",
    "HUR": "Time",
    "VLT": "Voltage",
    "AMP": "ElectricCurrent",
    "HTZ": "Frequency",
    "WTT": "Power",
    "KWT": "Power",
    "KWH": "Energy",
    "LUX": "Illuminance",
}
"""Measurement type by UN/ECE unit; a unit that does not tell (a percentage may be humidity or charge) has none here."""
