-- SPDX-License-Identifier: MIT
-- What a scenario sees: unclosed-scenario(5). Runs before the script, in the same room; `request` asks
-- the run to do something and waits for its answer. Everything here is checked again by the run: this
-- file is for the reader's comfort, not for safety.
local request, facts, mistake = ...
local ipairs, pairs, setmetatable, select, tostring, type =
	ipairs, pairs, setmetatable, select, tostring, type

-- Copies `into` and what the caller gave as options into one table of arguments.
local function arguments(into, options)
	if options ~= nil and type(options) ~= "table" then
		mistake("options are names and values, as in { within = \"2s\" }")
	end
	for k, v in pairs(options or {}) do
		if type(k) ~= "string" then
			mistake("options are names and values, as in { within = \"2s\" }")
		end
		into[k] = v
	end
	return into
end

local function class(methods)
	methods.__index = methods
	methods.__metatable = false
	return methods
end

-- Sockets ------------------------------------------------------------------------------------------

local Socket = class {}

local function socket(process, fd)
	return setmetatable({ process = process, fd = fd }, Socket)
end

-- Makes one call in a process and waits for its answer.
local function call(process, name, fd, args, options)
	return request("call", arguments({ actor = process.id, name = name, fd = fd, args = args }, options))
end

function Socket:accept(options)
	return socket(self.process, call(self.process, "accept", self.fd, {}, options))
end

function Socket:connect(host, port, options)
	call(self.process, "connect", self.fd, { host = host.side, port = port }, options)
	return self
end

function Socket:write(what, options)
	if type(what) == "number" then
		return call(self.process, "write", self.fd, { count = what }, options)
	end
	return call(self.process, "write", self.fd, { data = what }, options)
end

function Socket:read(count, options)
	return call(self.process, "read", self.fd, { count = count or 65536 }, options)
end

function Socket:reads_end(options)
	return call(self.process, "read", self.fd, { count = 65536 }, arguments({ ends = true }, options))
end

function Socket:shutdown(how, options)
	return call(self.process, "shutdown", self.fd, { how = how }, options)
end

-- connect(2) to nobody (AF_UNSPEC): the connection is reset, and the socket can connect again.
function Socket:disconnect(options)
	return call(self.process, "disconnect", self.fd, {}, options)
end

function Socket:close(options)
	return call(self.process, "close", self.fd, {}, options)
end

function Socket:set(option, value, options)
	return call(self.process, "set", self.fd, { option = option, value = value }, options)
end

function Socket:dup(options)
	return socket(self.process, call(self.process, "dup", self.fd, {}, options))
end

function Socket:bind(port, options)
	call(self.process, "bind", self.fd, { port = port }, options)
	return self
end

function Socket:nonblocking(options)
	return call(self.process, "nonblock", self.fd, {}, options)
end

-- Begins one of the calls above; `finish` takes what it returned.
function Socket:begin(name, what, port)
	local args = {}
	if name == "connect" then
		args = { host = what.side, port = port }
	elseif type(what) == "string" then
		args = name == "shutdown" and { how = what } or { data = what }
	elseif what or name == "read" then
		args = { count = what or 65536 }
	end
	self.begun = name
	return call(self.process, name, self.fd, args, { begin = true })
end

function Socket:finish(options)
	local what = request("finish", arguments({ actor = self.process.id, name = self.begun }, options))
	return self.begun == "accept" and what and socket(self.process, what) or what
end

-- Puts a copy of the descriptor into a Unix socket, where no process has it until one takes it out.
function Socket:post(options)
	return request("post", arguments({ actor = self.process.id, fd = self.fd, name = "sendmsg" }, options))
end

function Socket:pass(process, options)
	self:post(options)
	return process:take(options)
end

-- The same socket in a process that inherited it.
function Socket:in_process(process)
	return socket(process, self.fd)
end

-- Processes ----------------------------------------------------------------------------------------

local Process = class {}

local function process(host, id)
	return setmetatable({ host = host, id = id }, Process)
end

function Process:listen(port, options)
	local args, waits = arguments({ backlog = 5, reuse = true }, options), {}
	args.port = port or self.host.port
	for _, name in ipairs { "within", "fails" } do -- all others are the call's own
		waits[name], args[name] = args[name], nil
	end
	return socket(self, call(self, "listen", -1, args, waits))
end

function Process:socket(options)
	return socket(self, call(self, "socket", -1, arguments({}, options)))
end

-- options.from: the port to connect from.
function Process:connect(host, port, options)
	options = arguments({}, options)
	local s = self:socket()
	if options.from then
		s:bind(options.from)
	end
	options.from = nil
	return s:connect(host, port or host.port, options)
end

function Process:take(options)
	return socket(self, request("take", arguments({ actor = self.id, name = "recvmsg" }, options)))
end

-- The highest number of descriptors that the process may have open.
function Process:limit(count)
	return call(self, "limit", -1, { count = count })
end

function Process:fork(name)
	return process(self.host, request("fork", { actor = self.id, name = name or "child" }))
end

function Process:exec(path, options)
	return request("exec", arguments({ actor = self.id, path = path }, options))
end

function Process:exit(status)
	return request("exit", { actor = self.id, status = status or 0 })
end

function Process:kill(signal)
	return request("kill", { actor = self.id, signal = signal or "KILL" })
end

function Process:exits(status, options)
	return request("exits", arguments({ actor = self.id, status = status }, options))
end

-- Programs -----------------------------------------------------------------------------------------

local Program = class {}

function Program:says(text, options)
	return request("says", arguments({ actor = self.id, text = text }, options))
end

function Program:listens(options)
	return request("listens", arguments({ actor = self.id }, options))
end

function Program:output()
	return request("output", { actor = self.id })
end

Program.exits = Process.exits
Program.kill = Process.kill

-- Hosts --------------------------------------------------------------------------------------------

local Host = class {}

function Host:run(...)
	local argv = {}
	for i = 1, select("#", ...) do
		argv[i] = tostring((select(i, ...)))
	end
	return setmetatable({ host = self, id = request("run", { side = self.side, argv = argv }) }, Program)
end

function Host:process(name)
	return process(self, request("process", { side = self.side, name = name or self.name }))
end

function Host:listen(port, options)
	return self:process():listen(port, options)
end

function Host:connect(host, port, options)
	return self:process():connect(host, port, options)
end

-- Returns whether it was set; false only where options.optional says that it need not be there.
function Host:sysctl(name, value, options)
	return request("sysctl", arguments({ side = self.side, name = name, value = tostring(value) }, options))
end

client = setmetatable({ side = 0, name = "client", address = facts.client, port = facts.port }, Host)
server = setmetatable({ side = 1, name = "server", address = facts.server, port = facts.port }, Host)
loopback = facts.loopback
ipv6 = facts.ipv6

-- What is expected ---------------------------------------------------------------------------------

local function list(value)
	return type(value) == "table" and value or { value }
end

function scenario(about)
	return request("scenario", about)
end

function expect(host, state, options)
	return request("expect", arguments({ side = host.side, states = list(state) }, options))
end

-- The states may be followed by options.
function expect_path(host, ...)
	local states, options = { ... }, nil
	if type(states[#states]) == "table" then
		options = states[#states]
		states[#states] = nil
	end
	return request("expect_path", arguments({ side = host.side, states = states }, options))
end

-- What the kernel says of that host's end right now: a table.
function sample(host, options)
	return request("sample", arguments({ side = host.side }, options))
end

function expect_packet(from, what)
	return request("expect_packet", arguments({ side = from.side }, what))
end

function check(condition, text)
	return request("check", { passed = not not condition, text = text })
end

function observe(title, options)
	return request("observe", arguments({ title = title or "" }, options))
end

function step(text)
	return request("step", { text = text })
end

-- The wire -----------------------------------------------------------------------------------------

local Rule = class {}

function Rule:stop()
	return request("wire_stop", { rule = self.number })
end

-- Ends the rule and delivers what is held, before anything that comes after.
function Rule:release(options)
	return request("wire_release", arguments({ rule = self.number }, options))
end

-- Waits until the rule has had its way with so many packets (1).
function Rule:caught(count, options)
	return request("wire_caught", arguments({ rule = self.number, count = count or 1 }, options))
end

local function rule(action)
	return function(what)
		what = arguments({ action = action }, what)
		if what.from then
			what.from = what.from.side
		end
		return setmetatable({ number = request("wire_rule", what) }, Rule)
	end
end

wire = {
	drop = rule("drop"),
	hold = rule("hold"),
	delay = rule("delay"),
	duplicate = rule("duplicate"),
	reorder = rule("reorder"),
	watch = rule("watch"),
}

function wire.release(options)
	return request("wire_release", arguments({}, options))
end

function wire.cut()
	return request("wire_cut", { cut = true })
end

function wire.mend()
	return request("wire_cut", { cut = false })
end

-- Waits until nothing is under way: no packet for so long.
function wire.quiet(options)
	return request("wire_quiet", arguments({}, options))
end

function wire.inject(to, what)
	return request("wire_inject", arguments({ side = to.side }, what))
end
