/* SPDX-License-Identifier: Apache-2.0 */

/* completion: the script that a shell sources, and the words that the script asks for. */

#include <stdio.h>

#include "ctl-complete.h"
#include "ctl-text.h"
#include "ctl-verbs.h"

/* Bash breaks words at "=": they are put together again. */
static const char bash_script[] =
                "# bash completion for tankctl: source <(tankctl completion bash)\n"
                "_tankctl()\n"
                "{\n"
                "  local -a words=()\n"
                "  local word glue= i\n"
                "  for ((i = 1; i <= COMP_CWORD; i++)); do\n"
                "    word=${COMP_WORDS[i]}\n"
                "    if [[ -n $glue || $word == = ]] && ((${#words[@]} > 0)); then\n"
                "      words[${#words[@]} - 1]+=$word\n"
                "      if [[ $word == = ]]; then glue=1; else glue=; fi\n"
                "    else\n"
                "      words+=(\"$word\")\n"
                "    fi\n"
                "  done\n"
                "  mapfile -t COMPREPLY < <(\"$1\" completion words -- \"${words[@]}\" "
                "2>/dev/null)\n"
                "  if [[ ${COMPREPLY[0]-} == " COMPLETE_FILES " ]]; then\n"
                "    mapfile -t COMPREPLY < <(compgen -f -- \"${words[${#words[@]} - 1]#*=}\")\n"
                "    compopt -o filenames 2>/dev/null\n"
                "  fi\n"
                "  return 0\n"
                "}\n"
                "complete -F _tankctl tankctl\n";

int verb_completion(const Arguments *a)
{
        const char *what = a->words[0];

        if (streq(what, "words")) {
                complete_words(stdout, a->words + 1);
                return 0;
        }
        if (!streq(what, "bash"))
                return ctl_usage_error(
                                "there is no completion for \"%s\", only for bash", WORD(what));
        if (a->words[1])
                return ctl_usage_error("\"%s\" is one word too many", WORD(a->words[1]));
        return fputs(bash_script, stdout) == EOF ? 1 : 0;
}
