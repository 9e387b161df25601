"""Makes the items of the demo tables. The same arguments always give the same item.

Pure. An item is made from its number, its version (0, plus one per update), the time of its write and the time of the
table's load. The tables have the difficulties of real tables: orders have lists of maps and nested maps; customers have
sparse attributes, attributes with several types, and every type; events are small and many. `demo` decides when items are
written, updated and deleted.
"""

import base64
from datetime import datetime, timedelta
from random import Random
from typing import Any

from ddb_assets.sandbox.image import Attributes

Value = dict[str, Any]

EVENTS_PER_DEVICE = 500
FIRST_NAMES = ("Ada", "Grace", "Björk", "José", "Zoë", "李雷", "Omar", "Ingrid", "Nkechi", "Søren")
LAST_NAMES = ("Lovelace", "Hopper", "O'Neil", "García Márquez", "Müller", "Nguyễn", "Smith-Jones", "van der Berg")
CITIES = (
    ("Berlin", "DE", "10115"),
    ("São Paulo", "BR", "01310-100"),
    ("Seattle", "US", "98101"),
    ("大阪", "JP", "530-0001"),
)
PRODUCTS = ("Teapot", "Desk lamp", "Notebook, A5", 'Monitor 27"', "Кружка", "Socks", "USB-C cable", "Chair")
STATUSES = ("PENDING", "PAID", "SHIPPED", "DELIVERED", "RETURNED")
KINDS = ("temperature", "humidity", "door", "battery", "boot")


def _text(value: str) -> Value:
    return {"S": value}


def _number(value: object) -> Value:
    return {"N": str(value)}


def _money(cents: int) -> Value:
    return _number(f"{cents // 100}.{cents % 100:02d}".rstrip("0").rstrip("."))


def _iso(moment: datetime) -> Value:
    return _text(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def order_key(number: int, _loaded: datetime) -> Attributes:
    return {"orderId": _text(f"ord-{number:08d}")}


def order(number: int, version: int, at: datetime, loaded: datetime) -> Attributes:
    """An order of 1 to 5 lines; later versions have a later status and may have a refund."""
    random = Random(f"order {number} {version}")  # noqa: S311 - reproducible, not secret
    lines: list[Value] = []
    total = 0
    for _ in range(random.randint(1, 5)):
        quantity, cents = random.randint(1, 4), random.randint(99, 49_999)
        total += quantity * cents
        line = {"sku": _text(f"SKU-{random.randint(1, 999):03d}"), "name": _text(random.choice(PRODUCTS))}
        line |= {"quantity": _number(quantity), "unitPrice": _money(cents)}
        if random.random() < 0.3:
            line["options"] = {
                "M": {"colour": _text(random.choice(("red", "black"))), "engraved": {"BOOL": random.random() < 0.5}}
            }
        if random.random() < 0.2:
            line["serials"] = {"L": [_text(f"{random.getrandbits(32):08x}") for _ in range(quantity)]}
        lines.append({"M": line})
    city, country, postcode = random.choice(CITIES)
    address = {"street": _text(f"{random.randint(1, 200)} Main St"), "city": _text(city)}
    address |= {"postcode": _text(postcode), "country": _text(country)}
    item = order_key(number, loaded) | {
        "customerId": _text(f"cus-{random.randint(0, number // 2):08d}"),
        "createdAt": _iso(min(at, loaded + timedelta(seconds=number % 3600))),
        "status": _text(STATUSES[min(version + random.randint(0, 1), len(STATUSES) - 1)]),
        "timestamp": _iso(at),  # a reserved word in most databases
        "total": _money(total),
        "currency": _text("EUR"),
        "items": {"L": lines},
        "shipping": {
            "M": {"method": _text(random.choice(("post", "courier"))), "cost": _money(490), "address": {"M": address}}
        },
        "paid": {"BOOL": version > 0},
        "version": _number(version),
    }
    if random.random() < 0.15:
        item["coupon"] = {"M": {"code": _text("WELCOME10"), "percent": _number("10")}}
    if random.random() < 0.1:
        item["notes"] = _text(random.choice(("leave at the door 🚪", 'say "hi"\nand wave', "50% off; a\\b", "")))
    if random.random() < 0.1:
        item["giftFor"] = {"NULL": True} if random.random() < 0.3 else _text(random.choice(FIRST_NAMES))
    if version > 1:
        item["refund"] = {"M": {"amount": _money(total // 2), "at": _iso(at + timedelta(hours=1))}}
    return item


def customer_key(number: int, _loaded: datetime) -> Attributes:
    return {"customerId": _text(f"cus-{number:08d}")}


def customer(number: int, version: int, at: datetime, loaded: datetime) -> Attributes:
    """A customer: few common attributes, attributes with several types or unusual names, and all ten types."""
    random = Random(f"customer {number} {version}")  # noqa: S311 - reproducible, not secret
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    item = customer_key(number, loaded) | {"name": {"M": {"first": _text(first), "last": _text(last)}}}
    item |= {"since": _text((loaded - timedelta(days=number % 999)).date().isoformat()), "updatedAt": _iso(at)}
    optional: dict[str, Value] = {
        "email": _text(f"c{number}.{version}@example.com"),
        "phone": random.choice(
            [_text("+49 30 1234567"), _number("4930123456"), {"L": [_text("+1"), _text("206")]}, {"NULL": True}]
        ),
        "score": random.choice([_number(random.randint(0, 100)), _text("n/a"), _number("99.5"), {"BOOL": False}]),
        "tags": {"SS": sorted(random.sample(("vip", "beta", "b2b", "späte Lieferung", "a,b"), random.randint(1, 4)))},
        "luckyNumbers": {"NS": [str(n) for n in random.sample(range(-50, 1000), random.randint(1, 4))]},
        "deviceKeys": {"BS": [base64.b64encode(random.randbytes(6)).decode() for _ in range(random.randint(1, 3))]},
        "avatar": {"B": base64.b64encode(random.randbytes(random.randint(0, 48))).decode()},
        "ledger": _number(random.choice(("-", "")) + str(random.randint(10**37, 10**38 - 1))),
        "ratio": _number(f"0.{random.randint(1, 10**38 - 1):038d}"),
        "tiny": _number(f"{random.randint(1, 9)}E-{random.randint(100, 130)}"),
        "deletedAt": {"NULL": True},
        "userId": _text(f"u{number}"),
        "userid": _number(number),
        "loyalty-tier": _text(random.choice(("gold", "silver"))),
        "loyalty.tier": _number(random.randint(1, 3)),
        "order": _number(random.randint(1, 9)),
        "group": _text("g"),
        "S": _text("an attribute called S"),
        "M": {"M": {"L": {"L": [{"L": []}, {"M": {}}]}, "N": _number("0")}},
        "straße 🏠": _text("Unter den Linden"),
        "nickname": _text(""),
        "preferences": {"M": {f"topic-{random.randint(1, 9999)}": {"BOOL": random.random() < 0.5} for _ in range(2)}},
        "contacts": {
            "L": [
                {
                    "M": {
                        "kind": _text(random.choice(("home", "work"))),
                        "value": random.choice([_text("x"), _number("1")]),
                    }
                }
                for _ in range(random.randint(0, 3))
            ]
        },
    }
    return item | {name: value for name, value in optional.items() if random.random() < 0.35}


def event_key(number: int, loaded: datetime) -> Attributes:
    millis = int(loaded.timestamp()) * 1000 + 7 * number
    return {"deviceId": _text(f"dev-{number // EVENTS_PER_DEVICE:06d}"), "at": _number(millis)}


def event(number: int, version: int, at: datetime, loaded: datetime) -> Attributes:
    """A reading of a device: a small item with a composite key (a string and milliseconds)."""
    random = Random(number * 64 + version)  # noqa: S311 - reproducible, not secret
    kind = KINDS[random.getrandbits(8) % len(KINDS)]
    item = event_key(number, loaded) | {
        "receivedAt": _iso(at),
        "kind": _text(kind),
        "firmware": _text(f"2.{random.getrandbits(2)}.{version}"),
        "payload": {"M": {"value": _number(random.getrandbits(14) / 100), "unit": _text("C"), "ok": {"BOOL": True}}},
        "expiresAt": _number(1_800_000_000 + number),
    }
    if kind == "battery":
        item["volts"] = {"L": [_number(random.getrandbits(10) / 1000) for _ in range(3)]}
    if kind == "boot":
        item["error"] = _text(f"E{random.getrandbits(8):03d}") if random.getrandbits(1) else {"NULL": True}
    return item
