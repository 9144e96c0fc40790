/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buf.h"

/* Adds text so that it is only text in XML and HTML, between tags and in quoted attributes. The
 * text must be free of control characters: text_escape() first what comes from programs. */
void xml_text(struct buf *out, const char *text);

/* Adds a fixed-size field of a run: escaped for people, then for XML. */
void xml_field(struct buf *out, const char *field, size_t cap);
#define XML_FIELD(out, array) xml_field((out), (array), sizeof(array))
