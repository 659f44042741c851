"""Takes the rules of the gate out, one at a time, and says which of them no test misses.

`generation` says what a rule is, `finder` finds what can be taken out of a file, by way of `direction`, `lists` what can be put on an
allow-list; `application` does it to the modules of a running process; `bench` has the tests standing, `reaching` knows which of
them reach the place, `campaign` runs those, in a process forked for each mutant; `reviewed` knows the mutants that change
nothing, with the reason for each; `table` keeps verdicts and prints. `make mutants` calls it.

It is no general mutation tester. mutmut and cosmic-ray change operators and numbers and start the tests anew for
each change; here a change is a rule that is gone, and a forked process that has everything imported and connected
answers within a tenth of a second.
"""
