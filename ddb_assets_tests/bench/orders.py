"""The items of the main comparison: orders as shops have them, each generated from a number.

Texts are drawn from words and numbers, so that they compress about as well as real exports. The contestants have the types
and columns that hand-written programs need. `export.py` writes the exports.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table

TABLE = Table(table="Orders", nested={"items": "child"})
KEY = KeySchema(partition_key="orderId")
GENERATION = b'{"Item":{"orderId":{"S":"00-'
"""The beginning of every line. Another number instead of 00 makes other items with the same content."""

START = datetime(2024, 1, 1, tzinfo=UTC)
CITIES = ("Berlin", "São Paulo", "Seattle", "大阪", "Kraków", "Lagos", "Reykjavík", "Wellington", "Bogotá", "Nairobi")
STREETS = (
    "Main St",
    "Hauptstraße",
    "Rua Augusta",
    "Station Road",
    "Quai d'Orsay",
    "Elm Avenue",
    "Ringweg",
    "Market Sq",
)
STATUSES = ("PENDING", "PAID", "SHIPPED", "DELIVERED", "RETURNED")
NOTES = (
    "please leave the parcel",
    "with a neighbour",
    "or behind the garage",
    "ring twice",
    "gift wrap",
    "call before delivery",
    "fragile",
    "thanks",
    "urgent, it is a birthday",
    "no signature needed",
    "second floor, left door",
    'beware of the "dog"',
)
THINGS = ("Teapot", "Desk lamp", "Notebook, A5", 'Monitor 27"', "Кружка", "Wool socks", "USB-C cable", "Oak chair")
TAGS = ("new", "vip", "export", "gift", "b2b", "fragile", "prepaid", "loyalty", "app", "web")


def item(number: int) -> dict[str, Any]:
    """One order of about 900 bytes: nested map, list of maps, string set, NULL or S, an optional attribute, money."""
    random = Random(number)
    draw = random.random
    lines: list[dict[str, Any]] = []
    cents = 0
    for _ in range(int(draw() * 5)):
        quantity, price = 1 + int(draw() * 4), 99 + int(draw() * 50_000)
        cents += quantity * price
        line = {
            "sku": {"S": f"SKU-{random.getrandbits(24):06X}"},
            "name": {"S": THINGS[int(draw() * len(THINGS))]},
            "quantity": {"N": str(quantity)},
            "price": {"N": f"{price / 100:.2f}"},
        }
        lines.append({"M": line})
    note = "; ".join(random.choices(NOTES, k=1 + int(draw() * 4)))
    place = {"lat": {"N": f"{draw() * 180 - 90:.6f}"}, "lon": {"N": f"{draw() * 360 - 180:.6f}"}}
    address = {
        "street": {"S": f"{STREETS[int(draw() * len(STREETS))]} {1 + int(draw() * 200)}"},
        "city": {"S": CITIES[int(draw() * len(CITIES))]},
        "postcode": {"S": f"{int(draw() * 100_000):05d}"},
        "geo": {"M": place},
    }
    created = START + timedelta(milliseconds=int(draw() * 365 * 86_400_000))
    order: dict[str, Any] = {
        "orderId": {"S": f"00-{number:08d}-{random.getrandbits(32):08x}"},
        "customerId": {"S": f"cus-{int(draw() * 200_000):06d}"},
        "createdAt": {"S": created.isoformat(timespec="milliseconds").replace("+00:00", "Z")},
        "status": {"S": STATUSES[int(draw() * len(STATUSES))]},
        "total": {"N": f"{cents / 100:.2f}"},
        "points": {"N": str(int(draw() * 10_000))},
        "paid": {"BOOL": draw() < 0.7},
        "note": {"NULL": True} if draw() < 0.5 else {"S": note},
        "address": {"M": address},
        "tags": {"SS": sorted(random.sample(TAGS, 1 + int(draw() * 4)))},
        "items": {"L": lines},
    }
    if draw() < 0.3:
        order["coupon"] = {"S": f"C{random.getrandbits(32):08X}"}
    return {"Item": order}
