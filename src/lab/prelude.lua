-- SPDX-License-Identifier: MIT
-- What a scenario sees: unclosed-scenario(5). Runs before the script, in the same room; `request` asks
-- the run to do something and waits for its answer. Each function says what it takes, and nothing else
-- gets through: a mistake is told with the script's line. The run checks all of it again, for the room
-- is a stranger's.
local request, facts, mistake, nearest = ...
local ipairs, next, select, setmetatable, rawequal, rawlen, tostring, type =
	ipairs, next, select, setmetatable, rawequal, rawlen, tostring, type
local format, gmatch, match, sub = string.format, string.gmatch, string.match, string.sub
local unpack = table.unpack

-- Classes -------------------------------------------------------------------------------------------

local class_of = setmetatable({}, { __mode = "k" }) -- object: its class; a script cannot change it

-- ", did you mean ...?" where one of the table's keys is near.
local function hint(word, names)
	local list = {}
	for name in next, names do
		list[#list + 1] = name
	end
	local near = nearest(word, list)
	return near and format("; did you mean '%s'?", near) or " (see unclosed-scenario(5))"
end

local function no_such(owner, key, names)
	if type(key) ~= "string" then
		mistake(format("%s has no field of that kind", owner))
	end
	mistake(format("%s has no '%s'%s", owner, sub(key, 1, 40), hint(key, names)))
end

-- `noun` is what the manual calls an object of the class.
local function class(noun)
	local c = { noun = noun, methods = {} }
	c.meta = {
		__metatable = false,
		__index = function(_, key)
			return c.methods[key] or no_such("a " .. noun, key, c.methods)
		end,
	}
	return c
end

local function new(c, fields)
	class_of[fields] = c
	return setmetatable(fields, c.meta)
end

local Host, Process, Program = class("host"), class("process"), class("program")
local Socket, Rule = class("socket"), class("rule")

-- Arguments -----------------------------------------------------------------------------------------

-- What a value is, for a message.
local function called(value)
	local kind = type(value)
	if class_of[value] then
		return class_of[value] == Host and value.name or "a " .. class_of[value].noun
	elseif value == nil then
		return "nothing"
	elseif kind == "string" then
		return format("the text '%s'", sub(value, 1, 40))
	elseif kind == "number" then
		return format("the number %s", value)
	elseif kind == "boolean" then
		return tostring(value)
	end
	return "a " .. kind
end

local function is_options(value)
	return type(value) == "table" and not class_of[value]
end

local function one_of(c)
	return function(value)
		return class_of[value] == c
	end
end

local function of_type(...)
	local wanted = { ... }
	return function(value)
		return type(value) == wanted[1] or type(value) == wanted[2]
	end
end

-- The kinds of arguments: what a message calls each, and whether a value is of it.
local kinds = {
	host = { "client or server", one_of(Host) },
	process = { "a process", one_of(Process) },
	port = { "a port, such as 13", of_type("number") },
	number = { "a number", of_type("number") },
	text = { "a text", of_type("string") },
	signal = { "a signal, such as \"TERM\"", of_type("string") },
	value = { "a number or a text", of_type("number", "string") },
	bytes = { "a text or a number", of_type("number", "string") },
	state = { "a state, such as \"CLOSE_WAIT\", or a list of them", function(value)
		return type(value) == "string" or is_options(value)
	end },
	any = { "a condition", function() return true end },
	options = { "options, which are names and values, as in { within = \"2s\" }", is_options },
	packet = { "names and values, as in { flags = \"FIN ACK\" }", is_options },
	about = { "names and values, as in { title = \"...\" }", is_options },
}

local function words(text)
	local list = {}
	for word in gmatch(text, "%S+") do
		list[#list + 1] = word
	end
	return list
end

-- Parameters are "KIND", or "KIND?" where the argument may be left out.
local function parameters(text)
	local list = {}
	for i, word in ipairs(words(text)) do
		local name, mark = match(word, "^(%a+)(%??)$")
		list[i] = { kind = kinds[name], optional = mark == "?" }
	end
	return list
end

local function wrong_kind(name, kind, value)
	local quoted = kind == kinds.host and (value == "client" or value == "server")
	mistake(format("%s takes %s, not %s%s", name, kind[1], called(value),
		quoted and ": write it without quotes" or ""))
end

-- Refuses what is not among the names that the function takes.
local function check_names(options, taken)
	for key in next, options do
		if type(key) ~= "string" then
			mistake("options are names and values, as in { within = \"2s\" }")
		elseif not taken[key] then
			mistake(format("'%s' is not taken here%s", sub(key, 1, 40), hint(key, taken)))
		end
	end
end

-- What is left of the arguments when all parameters have had theirs.
local function check_rest(name, params, given, at, n)
	for i = at, n do
		if given[i] ~= nil and params[i] then
			wrong_kind(name, params[i].kind, given[i])
		elseif given[i] ~= nil then
			mistake(format("%s takes %s, not %s", name,
				#params == 0 and "no arguments" or "no more than that", called(given[i])))
		end
	end
end

-- Puts each argument where its parameter is: what may be left out, may be so before options too.
local function arrange(name, params, taken, ...)
	local given, n, at, out = { ... }, select("#", ...), 1, {}
	for i, p in ipairs(params) do
		local value = given[at]
		if at <= n and p.kind[2](value) then
			out[i], at = value, at + 1
			if p.kind[2] == is_options then
				check_names(value, taken)
			end
		elseif not p.optional then
			wrong_kind(name, p.kind, value)
		elseif value == nil then
			at = at + 1
		end
	end
	check_rest(name, params, given, at, n)
	return unpack(out, 1, #params)
end

local function set_of(text)
	local set = {}
	for _, word in ipairs(words(text or "")) do
		set[word] = true
	end
	return set
end

-- A function of the API: what it takes, then the names in its options or packet.
local function takes(name, kinds_text, names, run)
	local params, taken = parameters(kinds_text), set_of(names)
	return function(...)
		return run(arrange(name, params, taken, ...))
	end
end

-- A method. `self` is checked first: a dot in the place of a colon leaves it out.
local function method(c, name, kinds_text, names, run)
	local params, taken = parameters(kinds_text), set_of(names)
	c.methods[name] = function(self, ...)
		if class_of[self] ~= c then
			mistake(format("write %s:%s(...) with ':', not '.'", c.noun, name))
		end
		return run(self, arrange(name, params, taken, ...))
	end
end

-- Copies what the caller gave as options into the arguments of a request.
local function arguments(into, options)
	for key, value in next, options or {} do
		into[key] = value
	end
	return into
end

-- Sockets ------------------------------------------------------------------------------------------

local CALL = "within fails"

local function socket(process, fd)
	return new(Socket, { process = process, fd = fd, begun = false })
end

-- Makes one call in a process and waits for its answer.
local function call(process, name, fd, args, options)
	return request("call", arguments({ actor = process.id, name = name, fd = fd, args = args }, options))
end

method(Socket, "accept", "options?", CALL, function(self, options)
	return socket(self.process, call(self.process, "accept", self.fd, {}, options))
end)

method(Socket, "connect", "host port? options?", CALL, function(self, host, port, options)
	call(self.process, "connect", self.fd, { host = host.side, port = port or host.port }, options)
	return self
end)

method(Socket, "write", "bytes options?", CALL, function(self, what, options)
	local args = type(what) == "number" and { count = what } or { data = what }
	return call(self.process, "write", self.fd, args, options)
end)

method(Socket, "read", "number? options?", CALL, function(self, count, options)
	return call(self.process, "read", self.fd, { count = count or 65536 }, options)
end)

method(Socket, "reads_end", "options?", CALL, function(self, options)
	return call(self.process, "read", self.fd, { count = 65536 }, arguments({ ends = true }, options))
end)

method(Socket, "shutdown", "text options?", CALL, function(self, how, options)
	return call(self.process, "shutdown", self.fd, { how = how }, options)
end)

-- connect(2) to nobody (AF_UNSPEC): the connection is reset, and the socket can connect again.
method(Socket, "disconnect", "options?", CALL, function(self, options)
	return call(self.process, "disconnect", self.fd, {}, options)
end)

method(Socket, "close", "options?", CALL, function(self, options)
	return call(self.process, "close", self.fd, {}, options)
end)

method(Socket, "set", "text number options?", CALL, function(self, option, value, options)
	return call(self.process, "set", self.fd, { option = option, value = value }, options)
end)

method(Socket, "dup", "options?", CALL, function(self, options)
	return socket(self.process, call(self.process, "dup", self.fd, {}, options))
end)

method(Socket, "bind", "port options?", CALL, function(self, port, options)
	call(self.process, "bind", self.fd, { port = port }, options)
	return self
end)

method(Socket, "nonblocking", "options?", CALL, function(self, options)
	return call(self.process, "nonblock", self.fd, {}, options)
end)

-- What `begin` takes after the name of each call.
local begins = {
	accept = takes("begin(\"accept\")", "", "", function() return {} end),
	close = takes("begin(\"close\")", "", "", function() return {} end),
	connect = takes("begin(\"connect\")", "host port?", "", function(host, port)
		return { host = host.side, port = port or host.port }
	end),
	read = takes("begin(\"read\")", "number?", "", function(count) return { count = count or 65536 } end),
	write = takes("begin(\"write\")", "bytes", "", function(what)
		return type(what) == "number" and { count = what } or { data = what }
	end),
	shutdown = takes("begin(\"shutdown\")", "text", "", function(how) return { how = how } end),
}

-- Begins one of the calls above; `finish` takes what it returned.
function Socket.methods.begin(self, name, ...)
	if class_of[self] ~= Socket then
		mistake("write socket:begin(...) with ':', not '.'")
	end
	local make = begins[name]
	if not make then
		mistake(format("begin takes \"accept\", \"connect\", \"read\", \"write\", \"shutdown\" or \"close\", not %s",
			called(name)))
	end
	call(self.process, name, self.fd, make(...), { begin = true })
	self.begun = name
end

method(Socket, "finish", "options?", CALL, function(self, options)
	local name = self.begun
	if not name then
		mistake("finish waits for a call that was begun; none was")
	end
	local what = request("finish", arguments({ actor = self.process.id, name = name }, options))
	self.begun = false
	return name == "accept" and what and socket(self.process, what) or what
end)

-- Puts a copy of the descriptor into a Unix socket, where no process has it until one takes it out.
method(Socket, "post", "options?", CALL, function(self, options)
	return request("post", arguments({ actor = self.process.id, fd = self.fd, name = "sendmsg" }, options))
end)

method(Socket, "pass", "process options?", CALL, function(self, process, options)
	self:post(options)
	return process:take(options)
end)

-- The same socket in a process that inherited it.
method(Socket, "in_process", "process", "", function(self, process)
	return socket(process, self.fd)
end)

-- Processes ----------------------------------------------------------------------------------------

local function process(host, id)
	return new(Process, { host = host, id = id })
end

method(Process, "listen", "port? options?", "backlog reuse reuseport " .. CALL, function(self, port, options)
	local args, waits = arguments({ backlog = 5, reuse = true }, options), {}
	args.port = port or self.host.port
	for _, name in ipairs { "within", "fails" } do -- all others are the call's own
		waits[name], args[name] = args[name], nil
	end
	return socket(self, call(self, "listen", -1, args, waits))
end)

method(Process, "socket", "options?", CALL, function(self, options)
	return socket(self, call(self, "socket", -1, {}, options))
end)

-- options.from: the port to connect from.
method(Process, "connect", "host port? options?", "from " .. CALL, function(self, host, port, options)
	local rest = arguments({}, options)
	local from = rest.from
	if from ~= nil and type(from) ~= "number" then
		mistake("'from' takes the port to connect from, not " .. called(from))
	end
	rest.from = nil
	local s = self:socket()
	if from then
		s:bind(from)
	end
	return s:connect(host, port, rest)
end)

method(Process, "take", "options?", CALL, function(self, options)
	return socket(self, request("take", arguments({ actor = self.id, name = "recvmsg" }, options)))
end)

-- The highest number of descriptors that the process may have open.
method(Process, "limit", "number", "", function(self, count)
	return call(self, "limit", -1, { count = count })
end)

method(Process, "fork", "text?", "", function(self, name)
	return process(self.host, request("fork", { actor = self.id, name = name or "child" }))
end)

method(Process, "exec", "text options?", "keep within", function(self, path, options)
	return request("exec", arguments({ actor = self.id, path = path }, options))
end)

method(Process, "exit", "number?", "", function(self, status)
	return request("exit", { actor = self.id, status = status or 0 })
end)

-- Programs -----------------------------------------------------------------------------------------

method(Program, "says", "text options?", "within", function(self, text, options)
	return request("says", arguments({ actor = self.id, text = text }, options))
end)

method(Program, "listens", "options?", "within", function(self, options)
	return request("listens", arguments({ actor = self.id }, options))
end)

method(Program, "output", "options?", "within", function(self, options)
	return request("output", arguments({ actor = self.id }, options))
end)

for _, c in ipairs { Process, Program } do
	method(c, "exits", "number? options?", "within", function(self, status, options)
		return request("exits", arguments({ actor = self.id, status = status }, options))
	end)

	method(c, "kill", "signal?", "", function(self, signal)
		return request("kill", { actor = self.id, signal = signal or "KILL" })
	end)
end

-- Hosts --------------------------------------------------------------------------------------------

function Host.methods.run(self, ...)
	if class_of[self] ~= Host then
		mistake("write host:run(...) with ':', not '.'")
	end
	local argv = { ... }
	for i = 1, select("#", ...) do
		if not kinds.value[2](argv[i]) then
			mistake("run takes a command and its arguments, texts or numbers, not " .. called(argv[i]))
		end
		argv[i] = tostring(argv[i])
	end
	return new(Program, { host = self, id = request("run", { side = self.side, argv = argv }) })
end

method(Host, "process", "text?", "", function(self, name)
	return process(self, request("process", { side = self.side, name = name or self.name }))
end)

method(Host, "listen", "port? options?", "backlog reuse reuseport " .. CALL, function(self, port, options)
	return self:process():listen(port, options)
end)

method(Host, "connect", "host port? options?", "from " .. CALL, function(self, host, port, options)
	return self:process():connect(host, port, options)
end)

-- Returns whether it was set; false only where options.optional says that it need not be there.
method(Host, "sysctl", "text value options?", "optional", function(self, name, value, options)
	return request("sysctl", arguments({ side = self.side, name = name, value = tostring(value) }, options))
end)

client = new(Host, { side = 0, name = "client", address = facts.client, port = facts.port })
server = new(Host, { side = 1, name = "server", address = facts.server, port = facts.port })
loopback = facts.loopback
ipv6 = facts.ipv6

-- What is expected ---------------------------------------------------------------------------------

local function list(value)
	return type(value) == "table" and value or { value }
end

scenario = takes("scenario", "about", "title source rfc shows proves loss", function(about)
	return request("scenario", about)
end)

expect = takes("expect", "host state options?",
	"within connection orphan told timer recv_q send_q retransmits", function(host, state, options)
	if type(state) == "table" and rawlen(state) == 0 then
		mistake("expect needs a state, as in expect(server, \"CLOSE_WAIT\")")
	end
	return request("expect", arguments({ side = host.side, states = list(state) }, options))
end)

-- The states may be followed by options.
local path_of = takes("expect_path", "host options?", "connection", function(host, options)
	return arguments({ side = host.side }, options)
end)

function expect_path(host, ...)
	local states, n = { ... }, select("#", ...)
	local options = is_options(states[n]) and states[n] or nil
	for i = 1, options and n - 1 or n do
		if type(states[i]) ~= "string" then
			mistake("expect_path takes states, such as \"CLOSE_WAIT\", not " .. called(states[i]))
		end
	end
	if options then
		states[n] = nil
	end
	local what = path_of(host, options)
	what.states = states
	return request("expect_path", what)
end

-- What the kernel says of that host's end right now: a table.
sample = takes("sample", "host options?", "connection", function(host, options)
	return request("sample", arguments({ side = host.side }, options))
end)

expect_packet = takes("expect_packet", "host packet",
	"flags without length retransmission count connection within", function(from, what)
	return request("expect_packet", arguments({ side = from.side }, what))
end)

check = takes("check", "any text", "", function(condition, text)
	return request("check", { passed = not not condition, text = text })
end)

observe = takes("observe", "text? options?", "connection", function(title, options)
	return request("observe", arguments({ title = title or "" }, options))
end)

step = takes("step", "text", "", function(text)
	return request("step", { text = text })
end)

-- The wire -----------------------------------------------------------------------------------------

method(Rule, "stop", "", "", function(self)
	return request("wire_stop", { rule = self.number })
end)

-- Ends the rule and delivers what is held, before anything that comes after.
method(Rule, "release", "options?", "reverse", function(self, options)
	return request("wire_release", arguments({ rule = self.number }, options))
end)

-- Waits until the rule has had its way with so many packets (1).
method(Rule, "caught", "number? options?", "within", function(self, count, options)
	return request("wire_caught", arguments({ rule = self.number, count = count or 1 }, options))
end)

local on_wire, the_wire = {}, {}

local function wired(name, kinds_text, names, run)
	local checked = takes("wire." .. name, kinds_text, names, run)
	on_wire[name] = function(...)
		if rawequal(..., the_wire) then
			mistake(format("write wire.%s(...) with '.', not ':'", name))
		end
		return checked(...)
	end
end

local function rule(action, further)
	wired(action, "packet?", "from flags without data length nth times percent " .. further, function(what)
		what = arguments({ action = action }, what)
		if what.from ~= nil then
			if class_of[what.from] ~= Host then
				mistake("'from' takes client or server, not " .. called(what.from))
			end
			what.from = what.from.side
		end
		if action == "delay" and what.by == nil then
			mistake("wire.delay needs 'by', as in { by = \"20ms\" }")
		end
		return new(Rule, { number = request("wire_rule", what) })
	end)
end

for _, action in ipairs { "drop", "hold", "duplicate", "reorder", "watch" } do
	rule(action, "")
end
rule("delay", "by")

wired("release", "options?", "reverse", function(options)
	return request("wire_release", arguments({}, options))
end)

wired("cut", "", "", function()
	return request("wire_cut", { cut = true })
end)

wired("mend", "", "", function()
	return request("wire_cut", { cut = false })
end)

-- Waits until nothing is under way: no packet for so long.
wired("quiet", "options?", "lasting within", function(options)
	return request("wire_quiet", arguments({}, options))
end)

wired("inject", "host packet", "flags seq ack length connection", function(to, what)
	if what.flags == nil then
		mistake("wire.inject needs 'flags', as in { flags = \"RST\" }")
	end
	return request("wire_inject", arguments({ side = to.side }, what))
end)

wire = setmetatable(the_wire, {
	__metatable = false,
	__index = function(_, key)
		return on_wire[key] or no_such("wire", key, on_wire)
	end,
})
