/* The floor: N UDP sockets; every 20 ms take what has come, then send one packet on each. Nothing else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <signal.h>
static volatile sig_atomic_t over;
static void stop(int s) { (void)s; over = 1; }
int main(int argc, char **argv) {
  int n = atoi(argv[1]), first = atoi(argv[2]);
  int *fds = calloc(n, sizeof *fds);
  struct sockaddr_in *to = calloc(n, sizeof *to);
  struct epoll_event *ev = calloc(n, sizeof *ev);
  int ep = epoll_create1(0);
  for (int i = 0; i < n; i++) {
    int port; if (scanf("%d", &port) != 1) return 1;
    fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(first + 2 * i)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fds[i], (void *)&a, sizeof a)) { perror("bind"); return 1; }
    to[i] = a; to[i].sin_port = htons(port);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e);
  }
  signal(SIGTERM, stop);
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
  unsigned char in[1500], out[172]; memset(out, 0x55, sizeof out); out[0]=0x80; out[1]=0;
  unsigned short seq = 0;
  printf("ready\n"); fflush(stdout);
  while (!over) {
    t.tv_nsec += 20000000; if (t.tv_nsec >= 1000000000) { t.tv_nsec -= 1000000000; t.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0);
    for (int r = 0; r < 4; r++) {
      int k = epoll_wait(ep, ev, n, 0);
      if (k <= 0) break;
      for (int i = 0; i < k; i++) { struct sockaddr_in f; socklen_t l = sizeof f; recvfrom(fds[ev[i].data.u32], in, sizeof in, 0, (void *)&f, &l); }
    }
    seq++; out[2] = seq >> 8; out[3] = seq;
    for (int i = 0; i < n; i++) sendto(fds[i], out, sizeof out, 0, (void *)&to[i], sizeof to[i]);
  }
}
