"""The script that draws Vega-Lite charts: Vega, Vega-Lite and Vega-Embed, from the package vl-convert-python."""

from __future__ import annotations

from functools import cache

VEGA_LITE = "6.4"


@cache
def vega_script() -> str:
    """Return the script, which defines `vegaEmbed`: about 0.9 MB. The first call of a process takes 1.5 s."""
    import vl_convert  # starts a JavaScript engine

    script: str = vl_convert.javascript_bundle(None, vl_version=VEGA_LITE)  # type: ignore[arg-type]  # all of it
    return script.replace("</script", "<\\/script")
