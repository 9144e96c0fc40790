# SPDX-License-Identifier: MIT
# bash completion of unclosed, daytime and daytimed; made from their option tables.

# Sets $cur to the word to complete, $option to the option whose argument it is ("--name=" where it
# stands behind the sign), $command to the program, or the program and its subcommand.
_unclosed_parse()
{
	local i word
	cur=${COMP_WORDS[COMP_CWORD]}
	option=${COMP_WORDS[COMP_CWORD - 1]}
	command=$1
	if [[ $cur == "=" ]]; then
		cur=
		option=$option=
	elif [[ $option == "=" && COMP_CWORD -ge 2 ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}=
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		for word in $2; do
			if [[ ${COMP_WORDS[i]} == "$word" ]]; then
				command="$1 $word"
				return
			fi
		done
	done
}

_unclosed_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
	# More is to follow "--name=" and "hold:".
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
	return 0
}

# A list with commas: only its last word is completed.
_unclosed_list()
{
	local before= word
	[[ $cur == *,* ]] && before=${cur%,*},
	mapfile -t COMPREPLY < <(for word in $1; do compgen -W "$before$word" -- "$cur"; done)
	return 0
}

_unclosed_process_id()
{
	local path pids=
	for path in /proc/[0-9]*; do
		pids+=" ${path#/proc/}"
	done
	_unclosed_words "$pids"
}

# Names may hold anything: those that bash would have to quote are left out.
_unclosed_process_name()
{
	local path name names=
	for path in /proc/[0-9]*/comm; do
		{ read -r name <"$path"; } 2>/dev/null && [[ $name =~ ^[A-Za-z0-9._-]+$ ]] && names+=" $name"
	done
	mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur" | sort -u)
}

_unclosed_netns()
{
	local path names=
	for path in /run/netns/*; do
		[[ -e $path ]] && names+=" ${path##*/}"
	done
	_unclosed_words "$names"
}

_unclosed_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

_unclosed_hosts()
{
	mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
}

_unclosed_scenarios()
{
	local names
	names=$("${COMP_WORDS[0]}" lab --list 2>/dev/null | awk '{ print $1 }')
	mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur"; compgen -f -X '!*.lua' -- "$cur"; compgen -d -S / -- "$cur")
}
