"""Reads an `import.yaml`. What it may say is `config.py`."""

from pathlib import Path

from ddb_assets.contract.contract_yaml import ConfigError, read_documents, validated
from ddb_assets.imports.config import ImportConfig


def read_import_config(path: Path) -> ImportConfig:
    """Raises ConfigError naming file, line and what is wrong there."""
    documents = read_documents(path)
    if len(documents) != 1:
        raise ConfigError(f"{path}: an import is one YAML document, here are {len(documents)}")
    return validated(path, documents[0], ImportConfig, "the import")
