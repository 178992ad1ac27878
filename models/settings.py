"""How settings behave everywhere: frozen records that refuse unknown words and coerce nothing by surprise."""

from pydantic import ConfigDict

SETTINGS = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
