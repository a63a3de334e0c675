//! The clusters that schism makes on this machine: namespaces with an sshd in each, held by a process of their own.
