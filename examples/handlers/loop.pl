#!/usr/bin/env perl
# Jobs of Belt in Perl: a process handler (docs/HANDLERS.md, "process").
use strict;
use warnings;
use JSON::PP;

# The work. What it returns is the result; what it dies of, the failure.
sub handle {
    my ($job) = @_;
    die "asked to fail: $job->{payload}\n" if $job->{type} =~ /\.fail$/;
    return $job->{payload};
}

my $json = JSON::PP->new->utf8->allow_nonref; # bytes on both sides
$| = 1;    # each line at once

sub say_line { print $json->encode({@_}), "\n" }

say_line(op => 'ready');
while (my $line = <STDIN>) {    # ends with the end of stdin
    my $job = $json->decode($line);
    next if $job->{op} ne 'job';    # hello, drain, and a cancel that came too late
    eval { say_line(op => 'done', id => $job->{id}, result => handle($job)); 1 } and next;
    my $e = $@;
    chomp $e unless ref $e;
    say_line(op => 'fail', id => $job->{id}, error => { type => ref $e || 'die', message => "$e" });
}
