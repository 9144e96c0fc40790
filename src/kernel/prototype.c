/* SPDX-License-Identifier: MIT */
#include "kernel/prototype.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdint.h>

int prototype_arguments(const struct btf *kernel, const char *function)
{
	int id = btf__find_by_name_kind(kernel, function, BTF_KIND_FUNC);
	const struct btf_type *t = id > 0 ? btf__type_by_id(kernel, (uint32_t)id) : NULL;

	if (!t)
		return -ENOENT;
	t = btf__type_by_id(kernel, t->type);
	return t && btf_is_func_proto(t) ? btf_vlen(t) : -EINVAL;
}
