"""The sandbox's file to import: a supplier's price list of the articles that orders name.

Pure: the text is the same every time. `demo` stores it and names its table.
"""

import csv
import io
from random import Random

from ddb_assets.sandbox.demo_items import PRODUCTS

ARTICLES = 999
COLUMNS = ("sku", "name", "price", "in_stock", "width", "height", "colours")


def price_list() -> str:
    """CSV text with semicolons between fields, empty fields for unknown values, quotes, and line breaks within fields."""
    random = Random("price list")  # noqa: S311 - reproducible, not secret
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";")
    writer.writerow(COLUMNS)
    for number in range(1, ARTICLES + 1):
        name = random.choice(PRODUCTS)
        if random.random() < 0.1:
            name += "\nlimited edition"
        price = f"{random.randint(0, 499)}.{random.randint(0, 99):02d}" if random.random() < 0.9 else ""
        size = (random.randint(1, 90), random.randint(1, 90)) if random.random() < 0.7 else ("", "")
        colours = "|".join(sorted(random.sample(["red", "black", "white", "blue"], random.randint(0, 3))))
        writer.writerow([f"SKU-{number:03d}", name, price, "yes" if random.random() < 0.8 else "no", *size, colours])
    return text.getvalue()
