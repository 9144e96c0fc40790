-- SPDX-License-Identifier: MIT
scenario {
	title = "The client gives up before accept()",
	source = "listen(2); Linux inet_csk_reqsk_queue_add(), inet_csk_accept()",
	rfc = "3.6",
	shows = [[The connection is made by the kernel, before the program accepts it. A client that closes in between
leaves CLOSE_WAIT in the queue, without a descriptor that anyone could close.]],
}

local listener = server:listen()
local c = client:connect(server)
c:write("question")
c:close()
expect(server, "CLOSE_WAIT", { orphan = true, recv_q = 9 })
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
observe("CLOSE_WAIT that nobody has accepted.")

step("The server accepts at last.")
local s = listener:accept()
check(s:read(8) == "question", "the server reads the question of a client that is gone")
s:reads_end()
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
