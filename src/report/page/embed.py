#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""embed.py FILE... >HEADER: files as C strings, page_style_css for style.css. Comments that open a file stay out."""
import os
import re
import sys

print("/* SPDX-License-Identifier: MIT */\n/* Made from src/report/page. */\n#pragma once\n")
for path in sys.argv[1:]:
    name = "page_" + re.sub(r"\W", "_", os.path.basename(path))
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/\n?", "", f.read(), flags=re.S)
    print(f"static const char {name}[] __attribute__((unused)) =")
    for line in text.splitlines():
        escaped = line.lstrip("\t").replace("\\", "\\\\").replace('"', '\\"')
        if escaped:
            print(f'\t"{escaped}\\n"')
    print("\t;\n")
