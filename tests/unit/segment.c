/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <arpa/inet.h>
#include <string.h>

#include "lab/forge.h"
#include "tcp/segment.h"
#include "tcp/timeline.h"

static size_t make(uint8_t *frame, size_t cap, const char *src, const char *dst, uint8_t flags)
{
	struct forge_segment s = { .flags = flags, .seq = 0xfffffffe, .ack = 7 };

	assert_int_equal(tcp_addr_parse_host(&s.src, src), 0);
	assert_int_equal(tcp_addr_parse_host(&s.dst, dst), 0);
	s.src.port = 36342;
	s.dst.port = 13;
	return forge_frame(&s, frame, cap);
}

/* RFC 1071: over data that holds its own checksum, the sum is all ones. */
static uint16_t sum(const uint8_t *p, size_t len, uint32_t start)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		start += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return (uint16_t)start;
}

static void forged_frames_are_decoded(void **state)
{
	static const struct {
		const char *src, *dst;
		size_t len;
	} rows[] = { { "10.0.0.1", "10.0.0.2", 54 }, { "fd00::1", "fd00::2", 74 } };
	uint8_t frame[128];
	struct tcp_segment s;
	char text[TCP_ADDR_TEXT];

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(make(frame, sizeof(frame), rows[i].src, rows[i].dst,
				      TL_RST | TL_ACK),
				 rows[i].len);
		assert_true(segment_decode(frame, rows[i].len, &s));
		assert_string_equal(tcp_addr_host_text(&s.src, text), rows[i].src);
		assert_string_equal(tcp_addr_host_text(&s.dst, text), rows[i].dst);
		assert_int_equal(s.src.port, 36342);
		assert_int_equal(s.dst.port, 13);
		assert_true(s.seq == 0xfffffffe);
		assert_int_equal(s.ack, 7);
		assert_int_equal(s.flags, TL_RST | TL_ACK);
		assert_int_equal(s.len, 0);
		assert_int_equal(s.wscale, -1);
	}
}

static void forged_checksums_are_right(void **state)
{
	uint8_t frame[128];

	make(frame, sizeof(frame), "10.0.0.1", "10.0.0.2", TL_RST);
	assert_int_equal(sum(frame + 14, 20, 0), 0xffff);
	assert_int_equal(sum(frame + 26, 8 + 20, 6 + 20), 0xffff); /* addresses and TCP */
	make(frame, sizeof(frame), "fd00::1", "fd00::2", TL_RST);
	assert_int_equal(sum(frame + 22, 32 + 20, 6 + 20), 0xffff);
}

static void what_is_cut_is_refused(void **state)
{
	uint8_t frame[128];
	struct tcp_segment s = { .len = 77 };
	size_t len = make(frame, sizeof(frame), "fd00::1", "fd00::2", TL_FIN);

	for (size_t n = 0; n < len; n++)
		assert_false(segment_decode(frame, n, &s));
	assert_int_equal(s.len, 77); /* untouched */
	assert_true(segment_decode(frame, len, &s));
	assert_int_equal(segment_seq_len(&s), 1);
	assert_int_equal(forge_frame(&(struct forge_segment){ 0 }, frame, 20), 0);
}

static void a_window_scale_is_found(void **state)
{
	uint8_t frame[128];
	struct tcp_segment s;
	size_t len = make(frame, sizeof(frame), "10.0.0.1", "10.0.0.2", TL_SYN);

	memcpy(frame + len, "\x02\x04\x05\xb4\x01\x03\x03\x07", 8);
	frame[17] += 8;                    /* total length */
	frame[14 + 20 + 12] = 28 / 4 << 4; /* data offset */
	assert_true(segment_decode(frame, len + 8, &s));
	assert_int_equal(s.wscale, 7);
	assert_int_equal(s.data_offset, len + 8);
	assert_int_equal(segment_seq_len(&s), 1);
}

/* Of an IPv4 packet in parts no part is a segment: the first lacks data, the others the header. */
static void fragments_are_refused(void **state)
{
	uint8_t frame[128];
	struct tcp_segment s;
	size_t len = make(frame, sizeof(frame), "10.0.0.1", "10.0.0.2", TL_ACK);

	frame[20] = 0x40; /* do not fragment: is whole */
	assert_true(segment_decode(frame, len, &s));
	frame[20] = 0x20; /* more follow */
	assert_false(segment_decode(frame, len, &s));
	frame[20] = 0;
	frame[21] = 1; /* the last part, from byte 8 on */
	assert_false(segment_decode(frame, len, &s));
	frame[20] = 0x1f;
	frame[21] = 0;
	assert_false(segment_decode(frame, len, &s));
}

/* The header's own length against what the packet has. */
static void a_header_longer_than_its_packet_is_refused(void **state)
{
	static const char *const ends[][2] = { { "10.0.0.1", "10.0.0.2" },
					       { "fd00::1", "fd00::2" } };
	uint8_t frame[128] = { 0 };
	struct tcp_segment s;

	for (size_t i = 0; i < 2; i++) {
		size_t len = make(frame, sizeof(frame), ends[i][0], ends[i][1], TL_ACK);

		frame[len - 20 + 12] = 24 / 4 << 4;
		assert_false(segment_decode(frame, len, &s));
		assert_false(segment_decode(frame, len + 4, &s)); /* padding of Ethernet */
		frame[len - 20 + 12] = 16 / 4 << 4;
		assert_false(segment_decode(frame, len, &s));
		frame[len - 20 + 12] = 20 / 4 << 4;
		assert_true(segment_decode(frame, len, &s));
	}
}

/* Reads the window scale from four bytes of options before four of data. */
static int scale_of(const char *options)
{
	uint8_t frame[128];
	struct tcp_segment s;
	size_t len = make(frame, sizeof(frame), "10.0.0.1", "10.0.0.2", TL_SYN);

	memcpy(frame + len, options, 4);
	memset(frame + len + 4, 5, 4);
	frame[17] += 8;
	frame[14 + 20 + 12] = 24 / 4 << 4;
	assert_true(segment_decode(frame, len + 8, &s));
	assert_int_equal(s.len, 4);
	return s.wscale;
}

static void an_option_ends_with_the_header(void **state)
{
	assert_int_equal(scale_of("\x01\x03\x03\x07"), 7);
	assert_int_equal(scale_of("\x03\x03\x0e\x00"), 14);
	assert_int_equal(scale_of("\x03\x03\x0f\x00"), 14); /* RFC 7323: taken for 14 */
	assert_int_equal(scale_of("\x01\x01\x03\x03"), -1); /* its value would be data */
	assert_int_equal(scale_of("\x01\x01\x01\x03"), -1);
	assert_int_equal(scale_of("\x03\x04\x07\x00"), -1); /* a length that it has not */
	assert_int_equal(scale_of("\x00\x03\x03\x07"), -1); /* after the end */
	assert_int_equal(scale_of("\x08\x01\x03\x03"), -1); /* a length below its own head */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forged_frames_are_decoded),
		cmocka_unit_test(forged_checksums_are_right),
		cmocka_unit_test(what_is_cut_is_refused),
		cmocka_unit_test(a_window_scale_is_found),
		cmocka_unit_test(fragments_are_refused),
		cmocka_unit_test(a_header_longer_than_its_packet_is_refused),
		cmocka_unit_test(an_option_ends_with_the_header),
	};

	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
