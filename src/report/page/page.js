/* SPDX-License-Identifier: MIT */
/* Steps through the rows of the diagrams. All it knows stands in the rows' data attributes. Without
 * it the page still shows every diagram whole. */
'use strict';
(function () {
	const one = (selector, root) => (root || document).querySelector(selector);
	const all = (selector, root) => [...(root || document).querySelectorAll(selector)];
	const ends = ['client', 'server'];
	const fields = ['flags', 'bytes', 'seq', 'ack', 'window', 'fate', 'from'];
	const runs = all('.run');
	const slider = one('#slider'), pick = one('#pick'), said = one('#said');
	let rows = [], run = 0, at = 0;

	function showPacket(row) {
		const parts = row && row.dataset.packet ? row.dataset.packet.split('|') : null;
		one('#packet').hidden = !parts;
		if (parts)
			fields.forEach((name, i) => { one('#field-' + name).textContent = parts[i] || '\u2014'; });
	}

	const current = () => rows[at];

	function lightMachine(end) {
		const machine = one('.machine[data-end=' + end + ']');
		const seen = rows.slice(0, at + 1).map((row) => row.dataset[end]);
		const now = seen[at], before = at > 0 ? seen[at - 1] : now;
		const been = new Set(seen);

		all('.node', machine).forEach((node) => {
			const state = node.dataset.state;
			node.classList.toggle('lit', state === now);
			node.classList.toggle('been', been.has(state) && state !== now);
		});
		all('.arc', machine).forEach((arc) => {
			arc.classList.toggle('taken', before !== now && arc.dataset.arc === before + ' ' + now);
		});
		one('#state-' + end).textContent = now;
		machine.setAttribute('aria-label', 'state machine of the ' + end + ': ' + now);
		showMeaning(end, now);
	}

	function showMeaning(end, state) {
		const place = one('#meaning-' + end);
		if (place.dataset.state === state)
			return;
		place.dataset.state = state;
		place.className = 'meaning s-' + state;
		one('.body', place).replaceChildren(one('#explain-' + state).content.cloneNode(true));
	}

	function step(to, quiet) {
		if (!rows.length)
			return;
		at = Math.max(0, Math.min(rows.length - 1, to));
		rows.forEach((row, i) => {
			row.classList.toggle('now', i === at);
			row.classList.toggle('later', i > at);
			if (i === at)
				row.setAttribute('aria-current', 'step');
			else
				row.removeAttribute('aria-current');
		});
		ends.forEach(lightMachine);
		showPacket(current());
		said.textContent = current().getAttribute('aria-label');
		slider.value = at;
		slider.setAttribute('aria-valuetext', said.textContent);
		one('#count').textContent = (at + 1) + ' / ' + rows.length;
		one('#first').disabled = one('#back').disabled = at === 0;
		one('#next').disabled = one('#last').disabled = at >= rows.length - 1;
		if (!quiet) {
			current().scrollIntoView({ block: 'nearest' });
			history.replaceState(null, '', '#' + encodeURIComponent(runs[run].dataset.name) + '/' + (at + 1));
		}
	}

	function choose(number, to, quiet) {
		run = number;
		runs.forEach((section, i) => { section.hidden = i !== run; });
		rows = all('.row', runs[run]);
		slider.max = Math.max(0, rows.length - 1);
		if (pick)
			pick.value = run;
		one('#side').hidden = rows.length === 0;
		step(to, quiet);
	}

	/* #server-never-closes/12 */
	function fromAddress() {
		const parts = location.hash.slice(1).split('/').map(decodeURIComponent);
		const number = runs.findIndex((section) => section.dataset.name === parts[0]);
		return [Math.max(0, number), Math.max(0, (parseInt(parts[1], 10) || 1) - 1)];
	}

	function onKey(event) {
		const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: rows.length - 1 };
		if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName))
			return;
		if (event.key in moves) {
			event.preventDefault();
			step(moves[event.key]);
		} else if ((event.key === 'Enter' || event.key === ' ') && rows.includes(event.target)) {
			event.preventDefault();
			step(rows.indexOf(event.target));
		}
	}

	function watchRows(section) {
		const rowOf = (event) => event.target.closest('.row');
		section.addEventListener('click', (event) => rowOf(event) && step(rows.indexOf(rowOf(event))));
		/* Not mouseover: that also comes when keys scroll the rows under a mouse at rest. */
		section.addEventListener('mousemove', (event) => showPacket(rowOf(event) || current()));
		section.addEventListener('mouseleave', () => showPacket(current()));
		section.addEventListener('focusin', (event) => showPacket(rowOf(event) || current()));
		section.addEventListener('focusout', () => showPacket(current()));
	}

	if (!runs.length)
		return;
	document.documentElement.classList.add('js');
	runs.forEach(watchRows);
	one('#first').addEventListener('click', () => step(0));
	one('#back').addEventListener('click', () => step(at - 1));
	one('#next').addEventListener('click', () => step(at + 1));
	one('#last').addEventListener('click', () => step(rows.length - 1));
	slider.addEventListener('input', () => step(Number(slider.value)));
	if (pick)
		pick.addEventListener('change', () => choose(Number(pick.value), 0));
	document.addEventListener('keydown', onKey);
	window.addEventListener('hashchange', () => choose(...fromAddress(), true));
	choose(...fromAddress(), true);
}());
