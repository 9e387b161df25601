"""The results of operations that the sandbox answers itself, in front of moto: an answer, or an error with AWS's code."""

from typing import Any

Answer = dict[str, Any]


class ApiError(Exception):
    """An error answer: `code` is that of the API reference, the message is AWS's where it is known."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
